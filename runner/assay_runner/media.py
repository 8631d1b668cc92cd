"""A medium (image, audio, video) as it travels: encoded bytes with their digest, never decoded on the way.

Backends that take encoded bytes pass them through; only a backend or a task function that needs pixels decodes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

MediaKind = Literal["image", "audio", "video"]


class MediaError(Exception):
    """A medium is missing, truncated, of an unknown kind, or not what its digest says."""


class Place(Protocol):
    """Where encoded bytes lie that are neither in memory nor a file of their own; as text, its name for people."""

    def read(self) -> bytes:
        """The bytes.

        Raises:
            MediaError: they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Media:
    """One encoded medium; `source` is its bytes, a file that holds them, or another place."""

    kind: MediaKind
    mime: str
    sha256: str
    size: int
    source: bytes | Path | Place

    def read(self) -> bytes:
        """The encoded bytes, checked against the digest when they come from elsewhere.

        Raises:
            MediaError: they are gone or have changed.
        """
        if isinstance(self.source, bytes):
            return self.source
        if isinstance(self.source, Path):
            try:
                data = self.source.read_bytes()
            except OSError as error:
                raise MediaError(f"{self.source} cannot be read: {error.strerror}") from error
        else:
            data = self.source.read()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise MediaError(f"{self.source} is no longer the file that was planned (its SHA-256 has changed)")
        return data

    def portable(self) -> Media:
        """The same medium for another process of this machine, which can read files but no other place.

        Raises:
            MediaError: its place gives it no more.
        """
        return self if isinstance(self.source, bytes | Path) else replace(self, source=self.read())

    def reference(self) -> dict[str, str | int]:
        """How the medium is named in records and digests."""
        return {"type": self.kind, "mime": self.mime, "sha256": self.sha256, "size": self.size}


_MAGIC: tuple[tuple[bytes, int, MediaKind, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image", "image/png"),
    (b"\xff\xd8\xff", 0, "image", "image/jpeg"),
    (b"GIF8", 0, "image", "image/gif"),
    (b"BM", 0, "image", "image/bmp"),
    (b"II*\x00", 0, "image", "image/tiff"),
    (b"MM\x00*", 0, "image", "image/tiff"),
    (b"WEBP", 8, "image", "image/webp"),
    (b"WAVE", 8, "audio", "audio/wav"),
    (b"fLaC", 0, "audio", "audio/flac"),
    (b"ID3", 0, "audio", "audio/mpeg"),
    (b"\xff\xfb", 0, "audio", "audio/mpeg"),
    (b"\xff\xfa", 0, "audio", "audio/mpeg"),
    (b"\xff\xf3", 0, "audio", "audio/mpeg"),
    (b"\xff\xf2", 0, "audio", "audio/mpeg"),
    (b"OggS", 0, "audio", "audio/ogg"),
    (b"AVI ", 8, "video", "video/x-msvideo"),
    (b"ftypavif", 4, "image", "image/avif"),
    (b"ftypheic", 4, "image", "image/heic"),
    (b"ftypheix", 4, "image", "image/heic"),
    (b"ftypmif1", 4, "image", "image/heif"),
    (b"ftypM4A", 4, "audio", "audio/mp4"),
    (b"ftyp", 4, "video", "video/mp4"),
    (b"\x1aE\xdf\xa3", 0, "video", "video/webm"),
)


def from_bytes(data: bytes, *, name: str = "medium") -> Media:
    """A medium from its encoded bytes; the kind is read off the content, not off a name.

    Raises:
        MediaError: the content is of no known format.
    """
    kind, mime = _sniff(data[:16], name)
    return Media(kind, mime, hashlib.sha256(data).hexdigest(), len(data), data)


def from_place(place: Place) -> Media:
    """A medium that stays where it lies; its bytes are read once.

    Raises:
        MediaError: they cannot be read or are of no known format.
    """
    found = from_bytes(place.read(), name=str(place))
    return replace(found, source=place)


def from_file(path: Path) -> Media:
    """A medium that stays in its file.

    Raises:
        MediaError: the file cannot be read or its content is of no known format.
    """
    try:
        with path.open("rb") as file:
            kind, mime = _sniff(file.read(16), str(path))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}") from error
    return Media(kind, mime, digest, size, path)


def _sniff(head: bytes, name: str) -> tuple[MediaKind, str]:
    for magic, offset, kind, mime in _MAGIC:
        in_riff = magic not in (b"WEBP", b"WAVE", b"AVI ") or head.startswith(b"RIFF")
        if head[offset : offset + len(magic)] == magic and in_riff:
            return kind, mime
    raise MediaError(f"{name} is no image, audio or video of a known format" if head else f"{name} is empty")
