"""A store in memory, small real media, and documents made up by Hypothesis."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator

from hypothesis import strategies as st

from assay_runner.data.values import Doc
from assay_runner.media import Media, from_bytes
from assay_runner.store.base import NotFoundInStore


class MemoryStore:
    """Objects in a dictionary, with a count of what was asked for."""

    uri = "memory://store"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.gets: list[str] = []
        self.sent: list[str] = []
        self._lock = threading.Lock()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._lock:
            self.sent.append(key)
            if key in self.objects:
                return False
            self.objects[key] = data
            return True

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self.objects[key] = data

    def get(self, key: str) -> bytes:
        with self._lock:
            self.gets.append(key)
            if key not in self.objects:
                raise NotFoundInStore(self.location(key))
            return self.objects[key]

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def location(self, key: str) -> str:
        return f"{self.uri}/{key}"


def png(seed: int, padding: int = 0) -> bytes:
    """A valid 2x2 PNG whose colour follows from `seed`; `padding` adds that many bytes in a text chunk."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    colour = bytes([seed % 256, seed // 256 % 256, seed // 65536 % 256])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
    text = chunk(b"tEXt", b"pad\0" + b"x" * padding) if padding else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + text
        + chunk(b"IDAT", zlib.compress((b"\0" + colour * 2) * 2))
        + chunk(b"IEND", b"")
    )


def content(value: object) -> object:
    """A document with every medium replaced by its reference and its bytes: what makes two equal."""
    if isinstance(value, Media):
        return ("medium", value.reference(), value.read())
    if isinstance(value, dict):
        return [(key, content(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [content(inner) for inner in value]
    return (type(value).__name__, value)


MEDIA = st.integers(0, 20).map(lambda seed: from_bytes(png(seed)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | MEDIA
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
DOCS = st.dictionaries(st.text(max_size=8), VALUES, max_size=5)


def questions(count: int, images: int = 7) -> list[Doc]:
    """Documents of a VQA kind, `images` of them sharing each picture."""
    return [{"id": n, "question": f"what is {n}?", "image": from_bytes(png(n // images))} for n in range(count)]
