"""The quick look at a chunk's record file: surely what was planned, or not sure. It never says what is wrong.

Whoever gets no tally reads the file with the vocabulary's models, which know the sentence for every fault.
"""

from __future__ import annotations

import msgspec

from assay_api.encoding import sha256
from assay_api.layout import sample_ids
from assay_runner.frames import FrameError, split
from assay_runner.reduce.chunk_tally import ChunkTally, Lines, tally_chunk
from assay_runner.rows import Row, decode_rows, split_lines


class Expected(msgspec.Struct):
    """What plan and marker say of a chunk."""

    task: str
    start: int
    stop: int
    """Documents, from `start` up to `stop`."""
    repeats: int
    digest: str
    """SHA-256 of the file."""
    errors: int
    """Failed samples, as the marker counts them."""
    wanted: Lines


class Scanned(msgspec.Struct):
    """What a scan found."""

    tally: ChunkTally
    header: bytes
    """The header's line, not looked at."""
    rows_at: int
    """Where in the file the frame of the rows begins."""


def scan(expected: Expected, data: bytes) -> Scanned | None:
    """The tally of the record file `data` when everything about its rows holds: digest, valid rows of exactly the planned
    samples in order, error or score but not both, and the marker's counts."""
    if sha256(data) != expected.digest:
        return None
    try:
        header, text, rows_at = split(data)
        lines = split_lines(text)
        rows = decode_rows(text, lines)
        if rows is None or not _as_planned(rows, expected):
            return None
        return Scanned(tally_chunk(rows, expected.repeats, lines, expected.wanted), header, rows_at)
    except (FrameError, OverflowError, msgspec.MsgspecError):
        return None


def _as_planned(rows: list[Row], expected: Expected) -> bool:
    planned, repeats = range(expected.start, expected.stop), range(expected.repeats)
    failed = [row for row in rows if row.error is not None]
    return (
        [row.document for row in rows] == [document for document in planned for _ in repeats]
        and [row.repeat for row in rows] == [*repeats] * len(planned)
        and [row.id for row in rows] == sample_ids(expected.task, planned, expected.repeats)
        and len(failed) == expected.errors
        and not any(row.items for row in failed)
    )
