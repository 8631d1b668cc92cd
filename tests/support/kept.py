"""A backend that many tests share: its engine takes half a minute to start."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from assay_runner.backends.base import Backend, Batch, Response
from assay_runner.backends.registry import open_backend
from support.engine import local_context

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """What the contract is checked on: how to open it, and the event loop in which it lives."""

    name: str
    model: str
    open: Callable[[], Backend]
    loop: asyncio.Runner

    def wait(self, scenario: Coroutine[Any, Any, T]) -> T:
        """What the scenario gives."""
        return self.loop.run(scenario)


class Kept:
    """Starts once and closes with `end`."""

    def __init__(self, backend: Backend) -> None:
        self.inner, self._started = backend, False
        self.capacity, self.trouble = backend.capacity, backend.trouble

    async def start(self) -> None:
        if not self._started:
            await self.inner.start()
            self._started = True

    def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        return self.inner.stream(batches)

    async def close(self) -> None:
        """Not yet."""

    async def end(self) -> None:
        await self.inner.close()


@contextmanager
def kept(backend: str, folder: Path, **args: Any) -> Iterator[Subject]:
    """A model in an engine that lives until the end of the context, in float32 and with little memory."""
    # What the engine compiles when it is first asked costs more than all that tests ask.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    small = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16, "kv_cache_memory_bytes": 64 << 20}
    engine = Kept(open_backend(backend, local_context(str(folder), small | args, backend)))
    with asyncio.Runner() as loop:
        yield Subject(backend, str(folder), lambda: engine, loop)
        loop.run(engine.end())
