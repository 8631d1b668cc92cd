"""Blocks and their index: the format in which documents lie in a store, without any store.

A block is a zstd frame around one MessagePack map: encoded rows, and a table of the media they refer to. A medium of
the table is inline (its bytes), in place (the absolute path of a file, or of an archive with the name of its member) or
kept apart (nil; an object of its own).
The index lists the blocks of a data set with the digest of the rows of each, and the fingerprint is the digest of
that list: so what a plan pins covers every row, and one block can be checked without the others. Where media lie is
not part of any digest; each is checked against its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import msgpack
import zstandard
from pydantic import Field, StringConstraints, model_validator

from assay_api.base import Record, sha256
from assay_api.errors import Corrupt, SpecError
from assay_runner.data.archives import Member
from assay_runner.data.hashing import encode, media_of, rows_digest
from assay_runner.data.values import Doc
from assay_runner.media import Media

# The fingerprint depends on these three: another value is another version of the format.
ROWS = 256
CONTENT = 4 << 20
INLINE = 1 << 20
"""Media up to this many bytes lie inside their block."""

LARGEST_DOCUMENT = 256 << 20
_LARGEST_BLOCK = CONTENT + LARGEST_DOCUMENT + (16 << 20)
_BLOCK_SCHEMA = "assay/block/v1"
_LEVEL = 3
_OBJECT = 512
"""Bytes of a row's objects, or of a medium's path, in memory."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Source = bytes | Path | Member | None
"""Where a medium of a block lies: inline, in a file, in an archive, or (None) in an object of its own."""


class BlockEntry(Record):
    """One block: its object in the store and the documents it holds."""

    key: Annotated[str, StringConstraints(pattern=r"^data/blocks/[0-9a-f]{64}$")]
    """The last part is the SHA-256 of the object."""
    start: int = Field(ge=0)
    stop: int
    digest: Sha256
    """Of the rows, see `hashing.rows_digest`."""

    @property
    def file_digest(self) -> str:
        """SHA-256 of the object."""
        return self.key.rpartition("/")[2]


class DataIndex(Record):
    """The blocks of one data set, in order."""

    schema_: Literal["assay/data/v1"] = Field(default="assay/data/v1", alias="schema")
    fingerprint: Sha256
    documents: int = Field(ge=0)
    blocks: tuple[BlockEntry, ...]

    @model_validator(mode="after")
    def _blocks_are_what_the_fingerprint_covers(self) -> Self:
        ends = [0, *(block.stop for block in self.blocks)]
        starts = [*(block.start for block in self.blocks), self.documents]
        if ends != starts or any(low >= high for low, high in pairwise(ends)):
            raise ValueError("the blocks do not cover the documents in order")
        if self.fingerprint != fingerprint((block.stop - block.start, block.digest) for block in self.blocks):
            raise ValueError("the digests of the blocks do not give the fingerprint")
        return self


def fingerprint(blocks: Iterable[tuple[int, str]]) -> str:
    """The identity of a data set, from the number of rows and the digest of each of its blocks."""
    lines = ["assay/data/v1", *(f"{rows} {digest}" for rows, digest in blocks)]
    return sha256("\n".join(lines).encode())


@dataclass(slots=True)
class Block:
    """Encoded rows and the media they refer to, by SHA-256."""

    rows: list[bytes] = field(default_factory=list)
    media: dict[bytes, Source] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the rows."""
        return rows_digest(self.rows)

    @property
    def size(self) -> int:
        """Bytes held in memory by rows and inline media, and about what the objects take that hold them."""
        inline = sum(len(source) for source in self.media.values() if isinstance(source, bytes))
        return sum(map(len, self.rows)) + inline + _OBJECT * (len(self.rows) + len(self.media))


def cut(docs: Iterable[Doc], source: str, place: Callable[[Media], Source]) -> Iterator[Block]:
    """Cut documents into blocks; `place` says (and sees to it) where each medium new to a block shall lie.

    A block ends after 256 rows, or as soon as rows and media of up to 1 MiB come to 4 MiB. Where a block ends
    follows from the documents alone, not from where media lie.

    Raises:
        SpecError: one document is larger than 256 MiB.
        TypeError: a document holds something other than plain data and media.
    """
    block, content = Block(), 0
    for number, doc in enumerate(docs):
        row = encode(doc)
        new = {bytes.fromhex(medium.sha256): medium for medium in media_of(doc)}
        new = {digest: medium for digest, medium in new.items() if digest not in block.media}
        added = len(row) + sum(medium.size for medium in new.values() if medium.size <= INLINE)
        if added > LARGEST_DOCUMENT:
            raise SpecError(
                source,
                "",
                f"document {number} has {added >> 20} MiB",
                f"a document may have {LARGEST_DOCUMENT >> 20} MiB",
            )
        block.rows.append(row)
        block.media |= {digest: place(medium) for digest, medium in new.items()}
        content += added
        if len(block.rows) == ROWS or content >= CONTENT:
            yield block
            block, content = Block(), 0
    if block.rows:
        yield block


def pack(block: Block) -> bytes:
    """The bytes of a block's object."""
    media = [[digest, _packed(source)] for digest, source in block.media.items()]
    content = msgpack.packb({"schema": _BLOCK_SCHEMA, "rows": block.rows, "media": media}, use_bin_type=True)
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=True).compress(content)


def _packed(source: Source) -> bytes | str | list[str] | None:
    if isinstance(source, Member):
        return [str(source.archive), source.name]
    return str(source) if isinstance(source, Path) else source


def unpack(data: bytes, entry: BlockEntry, where: str) -> Block:
    """Read what `pack` wrote and check it, inline media included; `where` names the object in errors.

    Raises:
        Corrupt: the bytes are not the block that `entry` describes.
    """
    if sha256(data) != entry.file_digest:
        raise Corrupt(f"{where} is not what was stored (its SHA-256 has changed); delete it and plan the run again.")
    try:
        block = _decode(_decompress(data))
    except (ValueError, TypeError, zstandard.ZstdError, msgpack.UnpackException) as error:
        raise Corrupt(f"{where} is no block of documents ({error}); delete it and plan the run again.") from error
    if len(block.rows) != entry.stop - entry.start or block.digest != entry.digest:
        raise Corrupt(f"{where} does not hold the documents that the index names.")
    for digest, source in block.media.items():
        if isinstance(source, bytes) and sha256(source) != digest.hex():
            raise Corrupt(f"{where} holds a medium that is not what its SHA-256 says ({digest.hex()}).")
    return block


def _decompress(data: bytes) -> bytes:
    size = zstandard.get_frame_parameters(data).content_size
    if size > _LARGEST_BLOCK:  # an unknown size is the largest number of all
        raise ValueError(f"it claims to hold more than {_LARGEST_BLOCK >> 20} MiB")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_BLOCK, allow_extra_data=False)


def _decode(content: bytes) -> Block:
    def refuse(code: int, data: bytes) -> None:
        raise ValueError(f"the extension type {code} is unknown")

    match msgpack.unpackb(content, ext_hook=refuse, strict_map_key=True):
        case {"schema": "assay/block/v1", "rows": [*rows], "media": [*media], **rest} if not rest:
            return Block(_all_bytes(rows), dict(map(_medium, media)))
    raise ValueError("its fields are not those of " + _BLOCK_SCHEMA)


def _all_bytes(rows: Sequence[object]) -> list[bytes]:
    checked = [row for row in rows if isinstance(row, bytes)]
    if len(checked) != len(rows):
        raise ValueError("a row is no bytes")
    return checked


def _medium(entry: object) -> tuple[bytes, Source]:
    match entry:
        case [bytes(digest), bytes() | None as source] if len(digest) == 32:
            return digest, source
        case [bytes(digest), str(path)] if len(digest) == 32:
            return digest, Path(path)
        case [bytes(digest), [str(archive), str(name)]] if len(digest) == 32:
            return digest, Member(Path(archive), name)
    raise ValueError("an entry of the media table is malformed")
