"""The media of the samples that a report shows: their encoded bytes, each once, as far as the room goes.

Records hold digests alone. The bytes come from the planned documents, are checked against the digest and are never
decoded here. A medium that cannot be shown says why.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from assay_api.errors import AssayError
from assay_runner.media import Media, MediaError, from_bytes

MEDIA = 18 << 20
"""Bytes of all media of a report at most; a third more when they are written as text."""

TOO_MUCH = "It is not in this file, whose room for media is full."
GONE = "It is not in this file: the planned data can no longer be read."
CHANGED = "It is not in this file: its own file is gone or has changed since the run was planned."
UNKNOWN = "It is not in this file: the planned document does not hold it."


@dataclass(frozen=True, slots=True)
class Reference:
    """A medium as records name it. It comes from whoever wrote the record, so it is believed for its digest alone."""

    kind: str
    mime: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """A medium of the report: base64 text, or why there is none."""

    kind: str
    mime: str
    size: int
    data: bytes | None
    why: str | None = None


Find = Callable[[str, int, frozenset[str]], Mapping[str, Media]]
"""Task, number of a document, digests that are looked for → the media among them that its prompt holds."""


def references(prompt: Any) -> tuple[Reference, ...]:
    """The media that a record's prompt names; what is malformed is passed over."""
    parts = [part for message in _list(prompt) if isinstance(message, dict) for part in _list(message.get("content"))]
    return tuple(dict.fromkeys(one for part in parts if (one := _reference(part)) is not None))


def embed(wanted: Iterable[tuple[str, int, Sequence[Reference]]], find: Find, room: int = MEDIA) -> dict[str, Embedded]:
    """Digest → medium, for samples given as (task, document, its media), in the order in which they are shown.

    Every task with media has the same room, and what those before it left. A failure of the data ends the task's search,
    since a store that is away answers slowly.
    """
    by_task: dict[str, list[tuple[int, Sequence[Reference]]]] = {}
    for task, document, media in wanted:
        if media:
            by_task.setdefault(task, []).append((document, media))
    found: dict[str, Embedded] = {}
    for number, (task, samples) in enumerate(by_task.items()):
        share = room // (len(by_task) - number)
        room -= share - _embed_task(task, samples, find, share, found)
    return found


def _embed_task(
    task: str,
    samples: Sequence[tuple[int, Sequence[Reference]]],
    find: Find,
    room: int,
    found: dict[str, Embedded],
) -> int:
    """Fill `found` from one task's samples; the room that is left."""
    gone = False
    for document, media in samples:
        new = [one for one in media if one.sha256 not in found]
        fitting = frozenset(one.sha256 for one in new if one.size <= room)
        there: Mapping[str, Media] = {}
        if fitting and not gone:
            try:
                there = find(task, document, fitting)
            except (AssayError, MediaError, OSError, IndexError):
                gone = True
        for one in new:
            why = TOO_MUCH if one.sha256 not in fitting else GONE if gone else UNKNOWN
            medium = there.get(one.sha256)
            found[one.sha256] = _absent(one, why) if medium is None else _embedded(one, medium, room)
            room -= found[one.sha256].size if found[one.sha256].data is not None else 0
    return room


def _embedded(reference: Reference, medium: Media, room: int) -> Embedded:
    if medium.size > room:
        return _absent(reference, TOO_MUCH)
    try:
        checked = from_bytes(medium.read())
    except MediaError:
        return _absent(reference, CHANGED)
    if checked.sha256 != reference.sha256 or checked.size > room:
        return _absent(reference, CHANGED)
    return Embedded(checked.kind, checked.mime, checked.size, base64.b64encode(checked.read()))


def _absent(reference: Reference, why: str) -> Embedded:
    return Embedded(reference.kind, reference.mime, reference.size, None, why)


def _reference(part: Any) -> Reference | None:
    match part:
        case {"type": "text"}:
            return None
        case {
            "type": "image" | "audio" | "video" as kind,
            "mime": str(mime),
            "sha256": str(digest),
            "size": int(size),
        } if len(digest) == 64 and size >= 0:
            return _same(kind, mime[:80], digest, size)
    return None


@lru_cache(maxsize=4096)
def _same(kind: str, mime: str, digest: str, size: int) -> Reference:
    """One object for the many questions about one medium."""
    return Reference(kind, mime, digest, size)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
