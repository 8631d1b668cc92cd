"""The record file of a chunk: zstd-compressed JSON lines, a header and then one row per planned sample in planned order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import zstandard

from assay_api.base import canonical
from assay_api.errors import Corrupt
from assay_api.records import RecordsHeader, SampleRecord

_LEVEL = 3
_LARGEST = 4 << 30
"""Most bytes a record file may decompress to."""


def encode_records(header: RecordsHeader, records: Sequence[SampleRecord]) -> bytes:
    """The bytes of a record file."""
    lines = [canonical(header.model_dump(mode="json"))]
    lines += [canonical(record.model_dump(mode="json", exclude_defaults=True)) for record in records]
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"\n".join(lines) + b"\n")


def decode_records(data: bytes, where: str) -> tuple[RecordsHeader, list[SampleRecord]]:
    """Read what `encode_records` wrote; `where` names the object in errors.

    Raises:
        Corrupt: the bytes are no record file.
    """
    lines = _lines(data, where)
    header = RecordsHeader.decode(next(lines, b""), f"The header of {where}")
    return header, [SampleRecord.decode(line, f"Line {number} of {where}") for number, line in enumerate(lines, 2)]


def compress_lines(rows: Iterable[bytes]) -> bytes:
    """Zstd-compressed lines, compressed as they come."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    parts = [compressor.compress(row + b"\n") for row in rows]
    return b"".join(parts) + compressor.flush()


def read_samples(data: bytes) -> Iterator[dict[str, object]]:
    """The rows of samples.jsonl.zst."""
    for line in _lines(data, "samples.jsonl.zst"):
        yield json.loads(line)


def _lines(data: bytes, where: str) -> Iterator[bytes]:
    try:
        text = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj().decompress(data)
    except zstandard.ZstdError as error:
        raise Corrupt(f"{where} cannot be decompressed ({error}).") from error
    if len(text) > _LARGEST or not text.endswith(b"\n"):
        raise Corrupt(f"{where} is truncated or far too large.")
    return iter(text[:-1].split(b"\n"))
