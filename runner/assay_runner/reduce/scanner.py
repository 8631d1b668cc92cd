"""A process that looks at chunks for the reducer: `python -m assay_runner.reduce.scanner`, driven through its pipes.

It reads no store and holds no credentials: the bytes of a record file come in, what the scan found goes out. It imports
little, so that many of them fit beside the reducer, and it ends when its standard input does, however the reducer ended.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from typing import IO

import msgspec

from assay_runner.reduce.scan import Expected, Scanned, scan

BUFFER = 1 << 16
"""Bytes that a pipe takes at once."""
_LENGTH = struct.Struct("<QQ")

_EXPECTED = msgspec.msgpack.Decoder(Expected)
_SCANNED: msgspec.msgpack.Decoder[Scanned | None] = msgspec.msgpack.Decoder(Scanned | None)


def send(stream: IO[bytes], head: bytes, body: bytes = b"") -> None:
    """Write a message of two parts."""
    stream.write(_LENGTH.pack(len(head), len(body)))
    stream.write(head)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Read a message; None when the other side has ended."""
    lengths = stream.read(_LENGTH.size)
    if len(lengths) < _LENGTH.size:
        return None
    head, body = _LENGTH.unpack(lengths)
    parts = stream.read(head), stream.read(body)
    return parts if (len(parts[0]), len(parts[1])) == (head, body) else None


def ask(to: IO[bytes], expected: Expected, data: bytes) -> None:
    """Have another process scan.

    Raises:
        BrokenPipeError: it has ended.
    """
    send(to, msgspec.msgpack.encode(expected), data)


def answers(heard: bytearray) -> Iterator[Scanned | None]:
    """What it found in files, as far as it has been heard, which is taken out of `heard`."""
    while len(heard) >= _LENGTH.size:
        end = _LENGTH.size + sum(_LENGTH.unpack_from(heard))
        if len(heard) < end:
            return
        found = _SCANNED.decode(bytes(heard[_LENGTH.size : end]))
        del heard[:end]
        yield found


def main() -> None:
    """Scan until there is no more to scan."""
    # The rows of a chunk hold no cycles, and looking for some in them takes longer than reading them.
    gc.disable()
    incoming, outgoing = open(0, "rb", BUFFER), open(1, "wb", BUFFER)  # noqa: SIM115 - until the process ends
    while (message := receive(incoming)) is not None:
        scanned = scan(_EXPECTED.decode(message[0]), message[1])
        try:
            found = msgspec.msgpack.encode(scanned)
        except (OverflowError, RecursionError):
            found = msgspec.msgpack.encode(None)
        send(outgoing, found)


if __name__ == "__main__":
    main()
