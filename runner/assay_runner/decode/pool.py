"""Decoding in processes of their own, bounded in number and time: a medium that never ends, or that takes its decoder down,
costs one sample and not the worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from assay_runner.decode.parcel import Counter, pack
from assay_runner.media import MediaError

T = TypeVar("T")

_TASKS = 1_000
"""Media after which a process is replaced: decoders of C leak."""
_LOOK = 1.0
"""Seconds between two looks at whether the worker still lives."""
MEMORY = 4 << 30
"""Bytes that a process may hold. A medium that wants more is refused, where the system would end the worker."""


class Decoders:
    """A context with up to `processes` of them, started when they are needed; a call takes at most `seconds`."""

    def __init__(self, processes: int, seconds: float, memory: int = MEMORY) -> None:
        self._seconds = seconds
        # Started anew, not copied: a copy of a process with threads may hold locks that nobody gives back.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(processes, _TASKS, _begin, (memory, os.getpid()), context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do; safe to call twice."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module gives in one of the processes. A call that is cancelled is ended there too.

        Raises:
            MediaError: it raised one, took too long or too much memory, or took its process down.
        """
        try:
            with Counter() as counter:
                call = (counter.address, function, arguments)
                parcel = await asyncio.wrap_future(self._pool.schedule(pack, args=call, timeout=self._seconds))
                return counter.open(parcel)  # type: ignore[no-any-return]
        except TimeoutError as error:
            raise MediaError(f"decoding took longer than {self._seconds:g} s") from error
        except MemoryError as error:
            raise MediaError("decoding needed more memory than a medium may take") from error
        except ProcessExpired as error:
            raise MediaError(f"decoding ended its process ({_how(error.exitcode)})") from error


def _begin(memory: int, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Whoever ends the worker from a terminal ends its processes by it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _end_with(parent: int) -> None:
    """A process that decodes for ever must not outlive a worker that was killed."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}, as the system does when memory runs out" if -code == signal.SIGKILL else name
    return f"exit code {code}"
