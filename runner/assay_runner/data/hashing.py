"""The canonical encoding of a document, and its digest.

The encoding is MessagePack in its smallest form (every integer, length and string in the shortest encoding the
format has, floats always as IEEE 754 doubles), so equal documents have equal bytes on every platform. It is what is
stored and what is
hashed: a block is verified without decoding it. Two types go beyond MessagePack: extension 1 is a medium by its
reference (its bytes are stored apart), extension 2 an integer beyond 64 bits (two's complement, big endian). The
order of keys counts: a template can see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgpack

from assay_runner.data.values import Doc
from assay_runner.media import Media

_MEDIA = 1
_INTEGER = 2


def encode(doc: Doc) -> bytes:
    """The canonical bytes of a plain document, media by reference.

    Raises:
        TypeError: the document holds something other than plain data and media.
    """
    packed: bytes = msgpack.packb(doc, use_bin_type=True, strict_types=True, default=_extend)
    return packed


def decode(row: bytes, medium: Callable[[str, str, bytes, int], Media]) -> Doc:
    """The document that `encode` wrote; `medium(kind, mime, sha256, size)` supplies its media.

    Raises:
        ValueError: the bytes are no document.
    """

    def restore(code: int, data: bytes) -> Media | int:
        if code == _MEDIA:
            kind, mime, digest, size = msgpack.unpackb(data)
            return medium(kind, mime, digest, size)
        if code == _INTEGER:
            return int.from_bytes(data, "big", signed=True)
        raise ValueError(f"the extension type {code} is unknown")

    doc = msgpack.unpackb(row, ext_hook=restore, strict_map_key=True)
    if not isinstance(doc, dict):
        raise ValueError("a row is no object")
    return doc


def digest(doc: Doc) -> str:
    """SHA-256 of the canonical bytes: the same for equal documents, wherever their media lie."""
    return hashlib.sha256(encode(doc)).hexdigest()


def rows_digest(rows: list[bytes]) -> str:
    """SHA-256 over the SHA-256 of each encoded row, in order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(hashlib.sha256(row).digest())
    return total.hexdigest()


def media_of(value: Any) -> list[Media]:
    """All media in a document, in order of appearance."""
    found: list[Media] = []
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, Media):
            found.append(current)
        elif isinstance(current, dict):
            stack.extend(reversed(current.values()))
        elif isinstance(current, list):
            stack.extend(reversed(current))
    return found


def _extend(value: Any) -> msgpack.ExtType:
    if isinstance(value, Media):
        reference = [value.kind, value.mime, bytes.fromhex(value.sha256), value.size]
        return msgpack.ExtType(_MEDIA, msgpack.packb(reference, use_bin_type=True))
    if type(value) is int:
        return msgpack.ExtType(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    raise TypeError(f"a {type(value).__name__} cannot be kept in a document")
