"""The backend for any OpenAI-compatible server: keeps as many requests in flight as this worker's share allows.

What the server does with a batch is unknown, so nothing here depends on one: requests are sent singly, in planned
order, each with its own seed, and answers are handed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from assay_runner.backends.base import Batch, ModelContext, Request, Response, ResponseError
from assay_runner.backends.endpoint import Asked, Endpoint, RequestError
from assay_runner.backends.http_client import HttpClient
from assay_runner.backends.openai_scoring import Score, decode_scoring
from assay_runner.backends.openai_wire import (
    Answer,
    Api,
    UnsupportedError,
    decode_generation,
    encode_chat,
    encode_completion,
    encode_scoring,
)
from assay_runner.media import Media, MediaError

_OFFLOAD_BYTES = 2**15
"""Media larger than this are read and encoded in a thread, so that the event loop stays free."""


class OpenAIBackend:
    """Answers requests through an endpoint."""

    def __init__(self, context: ModelContext, client: HttpClient, endpoint: Endpoint) -> None:
        self._context, self._client, self._endpoint = context, client, endpoint
        self._api: Api = context.args.get("api", "chat")
        self._extra = context.args.get("extra_body", {})

    @property
    def capacity(self) -> int:
        """Batches in flight that keep it busy; a batch is one request."""
        return self._context.concurrency

    async def start(self) -> None:
        """Open the session and wait until the endpoint answers.

        Raises:
            BackendFailed: it does not, or it refuses the credentials.
        """
        self._client.open()
        await self._endpoint.wait_until_reachable()

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        await self._client.close()

    async def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer every request once, in the order in which answers come.

        Raises:
            BackendFailed: nothing can be answered any more.
        """
        finished: asyncio.Queue[asyncio.Task[Response | None]] = asyncio.Queue()
        # Twice the requests in flight: the next bodies are encoded while the endpoint is busy.
        room = asyncio.Semaphore(2 * self._context.concurrency)
        tasks: set[asyncio.Task[Response | None]] = set()

        async def feed() -> None:
            async for batch in batches:
                for request in batch:
                    await room.acquire()
                    task = asyncio.create_task(self._answer(request))
                    tasks.add(task)
                    task.add_done_callback(finished.put_nowait)

        feeder = asyncio.create_task(feed())
        feeder.add_done_callback(finished.put_nowait)
        try:
            while tasks or not feeder.done():
                task = await finished.get()
                response = task.result()
                if response is not None:
                    tasks.discard(task)
                    room.release()
                    yield response
            await feeder
        finally:
            for open_task in (feeder, *tasks):
                open_task.cancel()
            await asyncio.gather(feeder, *tasks, return_exceptions=True)

    async def _answer(self, request: Request) -> Response:
        try:
            if request.kind == "loglikelihood":
                return await self._score(request)
            return await self._generate(request)
        except MediaError as error:
            return _failed(request, "MediaError", str(error), 0)
        except UnsupportedError as error:
            return _failed(request, "Unsupported", str(error), 0)
        except RequestError as error:
            return _failed(request, error.kind, str(error), error.attempts)

    async def _generate(self, request: Request) -> Response:
        encode = encode_chat if self._api == "chat" else encode_completion
        body = await self._encoded(request, partial(encode, self._context.name, request, self._extra))
        path = "chat/completions" if self._api == "chat" else "completions"
        decode: Callable[[bytes], Answer] = partial(decode_generation, api=self._api, stop=request.generation.stop)
        asked: Asked[Answer] = await self._endpoint.ask(path, body, decode)
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
        )

    async def _score(self, request: Request) -> Response:
        body = encode_scoring(self._context.name, request, self._extra)
        decode: Callable[[bytes], Score] = partial(
            decode_scoring, prompt=request.prompt or "", continuation=request.continuation or ""
        )
        asked: Asked[Score] = await self._endpoint.ask("completions", body, decode)
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
        )

    async def _encoded(self, request: Request, encode: Callable[[], bytes]) -> bytes:
        media = [part for message in request.messages for part in message.parts if isinstance(part, Media)]
        slow = sum(medium.size for medium in media) > _OFFLOAD_BYTES
        if slow or any(isinstance(medium.source, Path) for medium in media):
            return await asyncio.to_thread(encode)
        return encode()


def _failed(request: Request, kind: str, message: str, attempts: int) -> Response:
    return Response(key=request.key, error=ResponseError(kind, message), attempts=attempts)
