"""The backend that runs a model of transformers in this process, on a CPU or a GPU.

One thread runs the model; meanwhile the media of the next batch are decoded in processes of their own, and another thread
prepares it (render, tokenise); the event loop only waits. Batches are run one after the other as the pipeline formed them,
so what shares a padded batch is the plan's doing; only a batch size that is to be found by itself lets the engine divide
them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from assay_runner.backends.base import BackendFailed, Batch, ModelContext, Response, ResponseError
from assay_runner.backends.media_opening import PATIENCE, Found, MediaOpening
from assay_runner.backends.transformers_batches import Group, Prepared, Score, ScoreShown, part_of, prepare
from assay_runner.backends.transformers_generate import generate
from assay_runner.backends.transformers_memory import Sizes, ran_out, release
from assay_runner.backends.transformers_model import Loaded, load, use_pinned_threads
from assay_runner.backends.transformers_plan import AUTO
from assay_runner.backends.transformers_prompts import Prompt, media_of
from assay_runner.backends.transformers_score import score, score_shown
from assay_runner.decode.pool import Decoders

T = TypeVar("T")


class TransformersBackend:
    """Answers requests with a model that is loaded here."""

    def __init__(self, context: ModelContext, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._context, self._clock = context, clock
        self._loaded: Loaded | None = None
        self._divides, self._sizes = context.pins.get("batch_size") == AUTO, Sizes()
        self._decoders: Decoders | None = None
        self._opening: MediaOpening | None = None
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
        if self._loaded.kind.media:
            self._decoders = Decoders(self._context.cores, PATIENCE)
            self._opening = MediaOpening(self._decoders, self._context.cores, self._loaded.wanted)

    async def close(self) -> None:
        """End what runs at its next token and drop the model; safe to call twice."""
        self._closing.set()
        if self._decoders is not None:
            await asyncio.to_thread(self._decoders.close)
            self._decoders = self._opening = None
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
        upcoming = asyncio.create_task(self._next(loaded, batches))
        try:
            while (prepared := await upcoming) is not None:
                upcoming = asyncio.create_task(self._next(loaded, batches))
                for response in prepared.failed:
                    yield response
                for group in prepared.groups:
                    async for response in self._answered(loaded, group, prepared.seconds):
                        yield response
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)

    async def _next(self, loaded: Loaded, batches: AsyncIterator[Batch]) -> Prepared | None:
        try:
            batch = await anext(batches)
        except StopAsyncIteration:
            return None
        shown = {request.key: media_of(request) for request in batch}
        known = {key: media for key, media in shown.items() if all(one.kind in loaded.kind.media for one in media)}
        opened: dict[str, Found] = {}
        if self._opening is not None and any(known.values()):
            opened = await self._opening.open(known)
        prepared, seconds = await self._preparing(partial(prepare, loaded, batch, opened))
        return replace(prepared, seconds=seconds / len(batch))

    async def _preparing(self, work: Callable[[], T]) -> tuple[T, float]:
        """What comes of work in the thread that prepares, to which tokenizers belong, and the seconds it takes there."""

        def timed() -> tuple[T, float]:
            started = self._clock()
            done = work()
            return done, self._clock() - started

        return await asyncio.get_running_loop().run_in_executor(self._preparer, timed)

    async def _answered(self, loaded: Loaded, group: Group, encoding: float) -> AsyncIterator[Response]:
        """The answers of a group: in one go, or, where the batch size is found by itself, in as many as the memory asks
        for.

        Args:
            encoding: each request's share of the seconds that its batch took to prepare.
        """
        loop = asyncio.get_running_loop()
        first, again = 0, 0.0
        size = self._sizes.fitting(group) if self._divides else len(group.requests)
        while first < len(group.requests):
            last = min(first + size, len(group.requests))
            part = group
            if (first, last) != (0, len(group.requests)):
                part, seconds = await self._preparing(partial(part_of, loaded, group, first, last))
                again += seconds
            answers = await loop.run_in_executor(self._runner, self._run, loaded, part)
            if isinstance(answers, str):
                if len(part.requests) > 1:
                    size = self._sizes.halve(group, len(part.requests))
                    continue
                error = ResponseError("OutOfMemory", f"it does not fit into memory by itself ({answers})")
                answers = [Response(key=part.requests[0].key, error=error)]
            for response in answers:
                yield replace(response, encoding=encoding + again / len(answers))
            first, again = last, 0.0

    def _load(self) -> Loaded:
        try:
            return load(self._context)
        except (MemoryError, RuntimeError) as error:
            way_out = "give workers more of it, end what else takes it, or plan anew with a smaller model.args.dtype"
            raise _fault("loading the model", way_out, error) from error

    def _run(self, loaded: Loaded, group: Group) -> list[Response] | str:
        """The answers of a group; where it can be divided and the memory is too small, what the engine says of that.

        Raises:
            BackendFailed: the engine failed.
        """
        try:
            return self._timed(loaded, group)
        except (MemoryError, RuntimeError) as error:
            doing = f"a batch of {len(group.requests)}"
            if not self._divides or not ran_out(error):
                raise _fault(doing, "set model.args.batch_size lower or to auto and plan anew", error) from error
            said = _said(error)
        # Not before the exception is gone, which holds what the batch has taken.
        release()
        return said

    def _timed(self, loaded: Loaded, group: Group) -> list[Response]:
        started = self._clock()
        if isinstance(group, Score):
            responses = score(loaded, group)
            latency = self._clock() - started
            return [replace(one, latency=latency) for one in responses]
        prompts: tuple[Prompt, ...]
        if isinstance(group, ScoreShown):
            responses, prompts = [score_shown(loaded, group)], (group.prompt,)
        else:
            responses, prompts = generate(loaded, group, self._closing.is_set), group.prompts
        latency = self._clock() - started
        return [
            replace(one, latency=latency, frames=prompt.frames, decoding=prompt.decoding)
            for one, prompt in zip(responses, prompts, strict=True)
        ]


def _fault(doing: str, way_out: str, error: MemoryError | RuntimeError) -> BackendFailed:
    """The end of this worker: after a fault the engine may be in any state."""
    if ran_out(error):
        return BackendFailed(f"There is not enough memory for {doing} ({_said(error)}); {way_out}.")
    return BackendFailed(f"The engine failed at {doing} ({_said(error)}).")


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
