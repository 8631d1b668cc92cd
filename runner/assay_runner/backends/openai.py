"""The backend for any OpenAI-compatible server: keeps as many requests in flight as this worker's share allows.

What the server does with a batch is unknown, so nothing here depends on one: requests are sent singly, in planned
order, each with its own seed, and answers are handed on as they come."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from assay_runner.backends.base import Batch, ModelContext, Request, Response, ResponseError
from assay_runner.backends.endpoint import Asked, Endpoint, RequestError
from assay_runner.backends.http_client import HttpClient
from assay_runner.backends.media_arguments import decoders_here, frames_sampling, video_decoder
from assay_runner.backends.media_text import MediaText
from assay_runner.backends.openai_answers import Answer, decode_generation
from assay_runner.backends.openai_media import Conversions
from assay_runner.backends.openai_scoring import Score, decode_scoring
from assay_runner.backends.openai_stream import FirstToken
from assay_runner.backends.openai_wire import (
    Api,
    Dialect,
    UnsupportedError,
    encode_chat,
    encode_completion,
    encode_scoring,
)
from assay_runner.backends.source import refuse_others
from assay_runner.faults import foremost
from assay_runner.media import MediaError

BATCH = 32
"""Requests whose bodies are encoded in one go."""
_AHEAD_BYTES = 32 << 20
"""Encoded bodies that may wait to be sent; a larger one waits alone."""


class _Ready(NamedTuple):
    """A request with its body, or why it has none."""

    request: Request
    body: bytes = b""
    fault: ResponseError | None = None
    seconds: float = 0.0
    """That writing the body took."""
    decoding: float | None = None
    """Seconds that its media took, where they were converted."""
    frames: tuple[tuple[int, ...], ...] = ()


class OpenAIBackend:
    """Answers requests through an endpoint."""

    def __init__(
        self,
        context: ModelContext,
        client: HttpClient,
        endpoint: Endpoint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._context, self._client, self._endpoint = context, client, endpoint
        self._api: Api = context.args.get("api", "chat")
        self._extra = context.args.get("extra_body", {})
        self._dialect = dialect_of(context.args)
        self._tags = context.args.get("reasoning", "field") == "tags"
        self._media = MediaText()
        self._conversions = Conversions(
            context.cores, frames_sampling(context.pins), decoder=video_decoder(context.pins)
        )
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bodies")

    @property
    def capacity(self) -> int:
        """Batches in flight that keep it busy."""
        return -(-self._context.concurrency // BATCH)

    @property
    def trouble(self) -> str:
        """That the endpoint is waited for, since when and why; empty when it is not."""
        return self._endpoint.trouble

    async def start(self) -> None:
        """Check the pins and wait until the endpoint answers.

        Raises:
            Unfit: this machine decodes media otherwise than planned.
            BackendFailed: it does not, or it refuses the credentials.
        """
        if "av" in self._context.pins:
            refuse_others(self._context.pins, decoders_here(self._context.pins))
        await self._endpoint.wait_until_reachable()

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        self._encoder.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._conversions.close)
        await self._endpoint.close()
        await self._client.close()

    async def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer every request once, in the order in which answers come.

        Raises:
            BackendFailed: nothing can be answered any more.
        """
        ready = _Bodies(_AHEAD_BYTES, self._context.concurrency)
        done: asyncio.Queue[Response | BaseException | None] = asyncio.Queue(2 * self._context.concurrency)
        # Twice the requests in flight: one that waits to be tried again keeps no other from being sent.
        lanes = 2 * self._context.concurrency

        async def feed() -> None:
            async for batch in batches:
                for one in await self._bodies(batch):
                    await ready.put(one)
            ready.end()

        async def ask() -> None:
            while (one := await ready.get()) is not None:
                await done.put(await self._answer(one))

        async def work() -> None:
            failure: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(feed())
                    for _ in range(lanes):
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

    async def _bodies(self, batch: Batch) -> list[_Ready]:
        """The bodies of a batch; made in a thread of its own, so that the event loop stays free."""
        loop = asyncio.get_running_loop()
        if not self._conversions.needed(batch):
            return await loop.run_in_executor(self._encoder, self._encode, batch)
        bodies = []
        for one in await self._conversions.ready(batch):
            if one.fault:
                bodies.append(_Ready(one.request, fault=one.fault))
                continue
            [ready] = await loop.run_in_executor(self._encoder, self._encode, (one.request,))
            bodies.append(ready._replace(decoding=one.seconds, frames=one.frames))
        return bodies

    def _encode(self, batch: Batch) -> list[_Ready]:
        bodies, began = [], self._clock()
        for request in batch:
            ready, ended = self._encoded(request), self._clock()
            bodies.append(ready._replace(seconds=ended - began))
            began = ended
        return bodies

    def _encoded(self, request: Request) -> _Ready:
        name = self._context.name
        try:
            if request.kind == "loglikelihood":
                return _Ready(request, encode_scoring(name, request, self._extra))
            if self._api == "chat":
                return _Ready(request, encode_chat(name, request, self._extra, self._media, self._dialect))
            return _Ready(request, encode_completion(name, request, self._extra, self._dialect))
        except MediaError as error:
            return _Ready(request, fault=ResponseError("MediaError", str(error)))
        except UnsupportedError as error:
            return _Ready(request, fault=ResponseError("Unsupported", str(error)))

    async def _answer(self, ready: _Ready) -> Response:
        request = ready.request
        if ready.fault is not None:
            return Response(key=request.key, error=ready.fault, attempts=0)
        try:
            if request.kind == "loglikelihood":
                return await self._score(ready)
            return await self._generate(ready)
        except RequestError as error:
            return Response(key=request.key, error=ResponseError(error.kind, str(error)), attempts=error.attempts)

    async def _generate(self, ready: _Ready) -> Response:
        request = ready.request
        path = "chat/completions" if self._api == "chat" else "completions"
        dialect = self._dialect
        decode: Callable[[bytes], Answer] = partial(
            decode_generation,
            api=self._api,
            stop=request.generation.stop,
            streamed=dialect.stream,
            tags=self._tags,
            logprobs=dialect.logprobs is not None,
        )
        watch = FirstToken if dialect.stream else None
        asked: Asked[Answer] = await self._endpoint.ask(path, ready.body, decode, watch)
        answer = asked.value
        return Response(
            key=request.key,
            text=answer.text,
            finish_reason=answer.finish_reason,
            reasoning=answer.reasoning,
            attempts=asked.attempts,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            latency=asked.latency,
            encoding=ready.seconds,
            first_token=asked.first_token,
            tokens_reasoning=answer.tokens_reasoning,
            tool_calls=answer.tool_calls,
            logprobs=answer.logprobs,
            decoding=ready.decoding,
            frames=ready.frames,
        )

    async def _score(self, ready: _Ready) -> Response:
        request = ready.request
        decode: Callable[[bytes], Score] = partial(
            decode_scoring, prompt=request.prompt or "", continuation=request.continuation or ""
        )
        asked: Asked[Score] = await self._endpoint.ask("completions", ready.body, decode)
        score = asked.value
        return Response(
            key=request.key,
            logprob=score.logprob,
            greedy=score.greedy,
            tokens=score.tokens,
            attempts=asked.attempts,
            tokens_in=score.tokens_in,
            tokens_out=score.tokens_out,
            latency=asked.latency,
            encoding=ready.seconds,
        )


def dialect_of(args: Mapping[str, Any]) -> Dialect:
    """What the arguments say of the server."""
    return Dialect(
        limit=args.get("token_limit", "max_tokens"),
        repetition_penalty="repeat_penalty" if args.get("dialect") == "llama.cpp" else "repetition_penalty",
        logprobs=args.get("logprobs"),
        stream=args.get("stream", False),
    )


class _Bodies:
    """Bodies on their way from the encoder to those who send them, bounded in number and bytes."""

    def __init__(self, most_bytes: int, most: int) -> None:
        self._most_bytes, self._most = most_bytes, most
        self._held: deque[_Ready] = deque()
        self._bytes = 0
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()
        self._ended = False

    async def put(self, one: _Ready) -> None:
        """Add a body, when there is room for it."""
        while self._held and (len(self._held) >= self._most or self._bytes + len(one.body) > self._most_bytes):
            self._room.clear()
            await self._room.wait()
        self._held.append(one)
        self._bytes += len(one.body)
        self._wake(1)

    def end(self) -> None:
        """There are no more."""
        self._ended = True
        self._wake(len(self._takers))

    async def get(self) -> _Ready | None:
        """The next body; None when there are no more."""
        while not self._held:
            if self._ended:
                return None
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        one = self._held.popleft()
        self._bytes -= len(one.body)
        self._room.set()
        return one

    def _wake(self, count: int) -> None:
        while count and self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                count -= 1
