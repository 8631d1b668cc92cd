"""What a decoding process gives back. Arrays of tens of megabytes cross in memory that both processes see: through a pipe
they would be copied four times and in small pieces, half of it by the worker, which has other things to do."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Parcel:
    """A result on its way."""

    content: bytes
    """Pickled, without its arrays."""
    sizes: tuple[int, ...]
    """Of the arrays, in bytes, one after the other in the shared memory."""


class Counter:
    """A context with memory that another process of this machine may fill; without it (systems other than Linux) results
    come whole."""

    def __init__(self) -> None:
        self._file = os.memfd_create("decoded") if hasattr(os, "memfd_create") else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    @property
    def address(self) -> str | None:
        """Where a process of the same user finds the memory while the context lasts. It is gone with this process,
        however that ends."""
        return None if self._file is None else f"/proc/{os.getpid()}/fd/{self._file}"

    def open(self, parcel: Parcel) -> Any:
        """The result. Its arrays may be written to."""
        # The pickle is as trusted as the processes: this one started them, and they run its code.
        if not parcel.sizes:
            return pickle.loads(parcel.content)  # noqa: S301
        assert self._file is not None, "only who knows the address can have put arrays there"
        # Copied once and not mapped: each mapping would hold an open file for as long as its media wait for the model.
        buffers, at = [], 0
        for size in parcel.sizes:
            buffers.append(bytearray(size))
            rest = memoryview(buffers[-1])
            while rest:
                read = os.preadv(self._file, [rest], at)
                rest, at = rest[read:], at + read
        return pickle.loads(parcel.content, buffers=buffers)  # noqa: S301


def pack(address: str | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Parcel:
    """Call a function in this process and pack what it gives."""
    result = function(*arguments)
    # A sandbox may keep processes from each other's files.
    if address is None or not os.access(address, os.W_OK):
        return Parcel(pickle.dumps(result, pickle.HIGHEST_PROTOCOL), ())
    arrays: list[pickle.PickleBuffer] = []
    content = pickle.dumps(result, pickle.HIGHEST_PROTOCOL, buffer_callback=arrays.append)
    sizes = []
    with Path(address).open("r+b", buffering=0) as file:
        for array in arrays:
            raw = array.raw()
            sizes.append(raw.nbytes)
            while raw:
                raw = raw[file.write(raw) :]
    return Parcel(content, tuple(sizes))
