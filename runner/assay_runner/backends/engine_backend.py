"""The backend around an engine that schedules for itself (vLLM, SGLang): it keeps more requests in flight than the engine
runs at a time, in planned order, so that the engine never waits and finds the prefixes that neighbours share in its cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from assay_runner.backends.base import Batch, ModelContext, Request, Response, ResponseError
from assay_runner.backends.engine_media import MediaRoom
from assay_runner.backends.engine_prompts import Prompt, Renderer
from assay_runner.backends.media_arguments import decoders_here, sampling, video_decoder
from assay_runner.backends.prompts import PromptError
from assay_runner.backends.source import refuse_others
from assay_runner.decode.request import Opened, Wanted
from assay_runner.faults import foremost
from assay_runner.media import MediaError

BATCH = 16
"""Requests that are rendered and tokenised in one go."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine does not take this request; `kind` and `message` are for its record."""

    kind: str
    message: str


class Engine(Protocol):
    """An engine as the backend sees it."""

    @property
    def width(self) -> int:
        """Requests that it runs at a time."""
        ...

    async def start(self) -> Renderer:
        """Load the model; the renderer is its own.

        Raises:
            SpecError, Unfit: a pin does not hold here, or the model cannot be loaded.
            BackendFailed: the engine does not start.
        """
        ...

    async def answer(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response | Refused:
        """The answer to one request, without its latency; cancelling it takes the request out of the engine.

        Raises:
            PromptError: the prompt is too long with its media.
            BackendFailed: the engine is gone.
        """
        ...

    async def close(self) -> None:
        """End the engine and its processes; safe to call twice, and after a start that failed or was cancelled."""
        ...


class _Ready(NamedTuple):
    """A request with its prompt, or why it has none, and the seconds that rendering and tokenising it took."""

    request: Request
    prompt: Prompt | ResponseError
    seconds: float


class EngineBackend:
    """Answers requests with an engine that is started here."""

    def __init__(self, context: ModelContext, engine: Engine, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._context, self._engine, self._clock = context, engine, clock
        self._renderer: Renderer | None = None
        self._room: MediaRoom | None = None
        self._preparer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")

    @property
    def _lanes(self) -> int:
        """Requests in flight: a second filling waits inside the engine while the first runs."""
        return 2 * self._engine.width

    @property
    def capacity(self) -> int:
        """Batches in flight that keep it busy."""
        return -(-self._lanes // BATCH) + 1

    @property
    def trouble(self) -> str:
        """Nothing: an engine of its own waits for nobody."""
        return ""

    async def start(self) -> None:
        """Check the pins and load the model.

        Raises:
            SpecError, Unfit: a pin does not hold here, or the model cannot be loaded.
            BackendFailed: the engine does not start.
        """
        pins = self._context.pins
        if "av" in pins:
            refuse_others(pins, decoders_here(pins))
        self._renderer = await self._engine.start()
        if "video" in pins:
            self._room = MediaRoom(
                self._context.cores, Wanted(sampling(pins), self._renderer.rate, video_decoder(pins))
            )

    async def close(self) -> None:
        """End the engine and its processes; safe to call twice."""
        self._preparer.shutdown(wait=False, cancel_futures=True)
        room, self._room = self._room, None
        try:
            await self._engine.close()
        finally:
            if room is not None:
                await asyncio.to_thread(room.close)

    async def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer every request once, in the order in which answers come.

        Raises:
            BackendFailed: the engine is gone.
        """
        assert self._renderer is not None, "start() comes first"
        renderer, loop = self._renderer, asyncio.get_running_loop()
        ready: asyncio.Queue[_Ready | None] = asyncio.Queue(BATCH)
        done: asyncio.Queue[Response | BaseException | None] = asyncio.Queue(self._lanes)

        async def feed() -> None:
            async for batch in batches:
                for one in await loop.run_in_executor(self._preparer, self._prepared, renderer, batch):
                    await ready.put(one)
            for _ in range(self._lanes):
                await ready.put(None)

        async def ask() -> None:
            while (one := await ready.get()) is not None:
                await done.put(await self._answer(*one))

        async def work() -> None:
            failure: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(feed())
                    for _ in range(self._lanes):
                        tasks.create_task(ask())
            except BaseExceptionGroup as group:
                failure = foremost(group)
            await done.put(failure)

        working = asyncio.create_task(work())
        try:
            while isinstance(response := await done.get(), Response):
                yield response
            if response is not None:
                raise response
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def _prepared(self, renderer: Renderer, batch: Batch) -> list[_Ready]:
        ready = []
        for request in batch:
            began = self._clock()
            prompt = _rendered(renderer, request)
            ready.append(_Ready(request, prompt, self._clock() - began))
        return ready

    async def _answer(self, request: Request, prompt: Prompt | ResponseError, seconds: float) -> Response:
        if isinstance(prompt, ResponseError):
            return Response(key=request.key, error=prompt, attempts=0)
        try:
            async with AsyncExitStack() as held:
                opened = None
                if prompt.media:
                    if self._room is None:
                        return _failed(request, "Unsupported", "the run was planned for a model without media")
                    opened = await held.enter_async_context(self._room.opened(prompt.media))
                started = self._clock()
                answer = await self._engine.answer(request, prompt, opened)
                if isinstance(answer, Refused):
                    return _failed(request, answer.kind, answer.message)
                latency = self._clock() - started
                decoding, frames = (opened.seconds, opened.frames) if opened else (None, ())
                return replace(answer, latency=latency, decoding=decoding, encoding=seconds, frames=frames)
        except MediaError as error:
            return _failed(request, "MediaError", str(error))
        except PromptError as error:
            return _failed(request, error.kind, str(error))


def _rendered(renderer: Renderer, request: Request) -> Prompt | ResponseError:
    try:
        return renderer.render(request)
    except PromptError as error:
        return ResponseError(error.kind, str(error))


def _failed(request: Request, kind: str, message: str) -> Response:
    return Response(key=request.key, error=ResponseError(kind, message), attempts=0)
