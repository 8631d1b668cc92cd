"""Zstandard frames: how record files and the samples file lie in the store.

A record file is two frames, the header's line and the rows' lines, so that the rows can go into the samples file as they
are, without being compressed anew. The samples file is one frame per chunk, one after another; `zstd -d` and every other
reader of the format take them for one text.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

LARGEST = 1 << 30
"""Most bytes that a frame of a record file may decompress to."""
_HEADER = 4096
"""Bytes within which the frame of a header ends."""
_LEVEL = 3
_OWN = threading.local()
_WINDOW = 1 << 27
"""The largest window that the `zstd` tool decompresses without being asked to."""


class FrameError(ValueError):
    """The bytes are not the frames that they should be; the message is a clause about them."""


def compress(text: bytes) -> bytes:
    """One frame, which says how much it holds."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(text)


def split(data: bytes) -> tuple[bytes, bytes, int]:
    """The parts of a record file: the header's text, the rows' text, and where the frame of the rows begins.

    Raises:
        FrameError: the bytes are damaged, truncated, not two frames, or hold more than a frame may.
    """
    header, rest = _first(data[:_HEADER])
    rows_at = min(len(data), _HEADER) - len(rest)
    rows, rest = _first(data[rows_at:])
    if rest:
        raise FrameError("goes on after its rows")
    return header, rows, rows_at


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of any number of frames, without their ends, read as they are asked for.

    Raises:
        FrameError: the bytes are damaged, or end in the middle of a line.
    """
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(stream, read_across_frames=True) as text:
            for line in io.BufferedReader(text):
                if not line.endswith(b"\n"):
                    raise FrameError("is truncated")
                yield line[:-1]
    except zstandard.ZstdError as error:
        raise FrameError(f"cannot be decompressed ({error})") from error


def _first(data: bytes) -> tuple[bytes, bytes]:
    """What the first frame of `data` holds, and the bytes behind it."""
    # This thread's own: making one costs as much as reading a small frame, and two threads cannot share it.
    if not hasattr(_OWN, "decompressor"):
        _OWN.decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    try:
        if not 0 <= zstandard.frame_content_size(data) <= LARGEST:
            raise FrameError("holds far too much, or does not say how much it holds")
        reader = _OWN.decompressor.decompressobj()
        text = reader.decompress(data)
    except zstandard.ZstdError as error:
        raise FrameError(f"cannot be decompressed ({error})") from error
    if not reader.eof:
        raise FrameError("is truncated")
    return text, reader.unused_data
