"""The backend that runs a model of transformers in this process, on a CPU or a GPU.

One thread runs the model; another prepares the next batch (decode images, render, tokenise) meanwhile; the event loop
only waits. Batches are run one after the other as the pipeline formed them, so what shares a padded batch is the
plan's doing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from assay_runner.backends.base import BackendFailed, Batch, ModelContext, Response
from assay_runner.backends.transformers_batches import Generate, Prepared, Score, prepare
from assay_runner.backends.transformers_generate import generate
from assay_runner.backends.transformers_model import Loaded, load, use_pinned_threads
from assay_runner.backends.transformers_score import score


class TransformersBackend:
    """Answers requests with a model that is loaded here."""

    def __init__(self, context: ModelContext, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._context, self._clock = context, clock
        self._loaded: Loaded | None = None
        self._closing = threading.Event()
        self._runner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._preparer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")

    @property
    def capacity(self) -> int:
        """One batch that runs and one that is prepared."""
        return 2

    @property
    def trouble(self) -> str:
        """Nothing: an engine of its own waits for nobody."""
        return ""

    async def start(self) -> None:
        """Check the pins and load the model.

        Raises:
            SpecError: a pin does not hold here, or the model cannot be loaded as pinned.
            BackendFailed: it does not fit into memory.
        """
        loop = asyncio.get_running_loop()
        self._loaded = await loop.run_in_executor(self._runner, self._load)
        await loop.run_in_executor(self._preparer, use_pinned_threads, int(self._context.pins["threads"]))

    async def close(self) -> None:
        """End what runs at its next token and drop the model; safe to call twice."""
        self._closing.set()
        await asyncio.to_thread(self._preparer.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._runner.shutdown, wait=True, cancel_futures=True)
        self._loaded = None

    async def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer batch after batch, in order.

        Raises:
            BackendFailed: the engine failed or ran out of memory.
        """
        loaded = self._loaded
        assert loaded is not None, "start() comes first"
        loop = asyncio.get_running_loop()
        upcoming = asyncio.create_task(self._next(loaded, batches))
        try:
            while (prepared := await upcoming) is not None:
                upcoming = asyncio.create_task(self._next(loaded, batches))
                for response in prepared.failed:
                    yield response
                for group in prepared.groups:
                    for response in await loop.run_in_executor(self._runner, self._run, loaded, group):
                        yield response
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    async def _next(self, loaded: Loaded, batches: AsyncIterator[Batch]) -> Prepared | None:
        try:
            batch = await anext(batches)
        except StopAsyncIteration:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._preparer, prepare, loaded, batch)

    def _load(self) -> Loaded:
        with _engine_faults("loading the model"):
            return load(self._context)

    def _run(self, loaded: Loaded, group: Generate | Score) -> list[Response]:
        started = self._clock()
        with _engine_faults(f"a batch of {len(group.requests)}"):
            responses = self._answers(loaded, group)
        latency = self._clock() - started
        return [replace(response, latency=latency) for response in responses]

    def _answers(self, loaded: Loaded, group: Generate | Score) -> list[Response]:
        if isinstance(group, Score):
            return score(loaded, group)
        return generate(loaded, group, self._closing.is_set)


@contextmanager
def _engine_faults(doing: str) -> Iterator[None]:
    """Turn what the engine raises into the end of this worker: it may be in any state now. A smaller batch is not
    tried, because it could give other bits than the planned one."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, MemoryError) or "memory" in text.lower():
            raise BackendFailed(
                f"There is not enough memory for {doing} ({text}); set model.args.batch_size lower and plan anew."
            ) from error
        raise BackendFailed(f"The engine failed at {doing} ({text}).") from error
