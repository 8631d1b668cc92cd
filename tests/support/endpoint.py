"""A small OpenAI-compatible server that really listens, with faults that tests switch on.

In a test: `with TestEndpoint(latency=0.01) as endpoint: ... endpoint.url ...`. By hand, from the folder `tests`:
`python -m support.endpoint --port 8000 --latency 0.02`. Answers are a function of the request alone, unless an engine
answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.answers import MODEL, WORDS, answered_by_hash, echo, reply, token_logprob
from support.streaming import events_of

__all__ = ["MODEL", "WORDS", "TestEndpoint", "answer_by_hash", "echo", "reply", "token_logprob"]

Answer = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Path ("chat/completions" or "completions") and body → document."""


@dataclass(frozen=True)
class Fault:
    """An answer that takes the place of the right one."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    drop: bool = False
    """Close the connection without an answer."""
    cut: bool = False
    """Close the connection in the middle of the answer."""
    delay: float = 0.0


def status(code: int, message: str = "injected", **headers: str) -> Fault:
    """An OpenAI-style error; `Retry_After="1"` becomes a header."""
    body = json.dumps({"error": {"message": message, "type": "test", "code": code}}).encode()
    return Fault(code, body, {name.replace("_", "-"): value for name, value in headers.items()})


def document(value: Any) -> Fault:
    """Status 200 with `value` as its body."""
    return Fault(body=json.dumps(value).encode())


DROPPED = Fault(drop=True)
HTML = Fault(body=b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")
HALF_JSON = Fault(body=b'{"choices": [{"message": {"content": "ye')
NO_CHOICES = document({"choices": []})
NULL_CONTENT = document({"choices": [{"message": {"role": "assistant", "content": None}}]})
WRONG_TYPES = document({"choices": [{"message": {"role": "assistant", "content": 5}}]})


class TestEndpoint:
    """The server, in a thread of its own. `faults` are used up one by one, in order of arrival, before right answers
    are given."""

    __test__ = False

    def __init__(
        self,
        *,
        latency: float = 0.0,
        api_key: str | None = None,
        models: Iterable[str] | None = (MODEL,),
        faults: Iterable[Fault] = (),
        fault_for: Callable[[dict[str, Any]], Fault | None] = lambda body: None,
        answer: Answer | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        on_close: Callable[[], Awaitable[None]] | None = None,
        refuse: Callable[[dict[str, Any]], Fault | None] = lambda body: None,
        pause: float = 0.0,
    ) -> None:
        """`refuse` is what a dialect of the API does not take (`support.dialects`), `pause` the seconds between the events
        of a stream."""
        self.latency, self.api_key, self.models = latency, api_key, models
        self.faults, self.fault_for = deque(faults), fault_for
        self.refuse, self.pause = refuse, pause
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.peak = 0
        self._answer, self._host, self._port, self._on_close = answer or answer_by_hash, host, port, on_close
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Base URL, with the version."""
        return f"http://{self._host}:{self._port}/v1"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def __enter__(self) -> TestEndpoint:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/{path:chat/completions|completions}", self._complete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._runner.cleanup()
        if self._on_close:
            await self._on_close()

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}":
            return None
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return web.json_response({"error": {"message": f"Incorrect API key provided: {given}"}}, status=401)

    async def _models(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        if self.models is None:
            return web.Response(status=404)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        body = await request.json()
        self.bodies.append(body)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            fault = self.faults.popleft() if self.faults else self.fault_for(body)
            if fault is not None:
                return await self._inject(request, fault)
            if self.models is not None and body.get("model") not in self.models:
                message = f"The model `{body.get('model')}` does not exist."
                return web.json_response({"error": {"message": message}}, status=404)
            if (refused := self.refuse(body)) is not None:
                return await self._inject(request, refused)
            found = await self._answer(request.match_info["path"], body)
            return await self._stream(request, found) if body.get("stream") else web.json_response(found)
        finally:
            self.in_flight -= 1

    async def _stream(self, request: web.Request, found: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events_of(found):
            await response.write(event)
            await asyncio.sleep(self.pause)
        return response

    async def _inject(self, request: web.Request, fault: Fault) -> web.Response:
        await asyncio.sleep(fault.delay)
        if fault.cut and request.transport:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(fault.body) + 100}\r\n\r\n"
            request.transport.write(head.encode() + fault.body)  # type: ignore[attr-defined]
            request.transport.close()
        if fault.drop and request.transport:
            request.transport.abort()
        return web.Response(
            status=fault.status, body=fault.body, headers=fault.headers, content_type=fault.content_type
        )


async def answer_by_hash(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """As `answered_by_hash` says."""
    return answered_by_hash(path, body)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--api-key", help="refuse requests without it")
    parser.add_argument("--engine", help="folder of a model that really answers, through the transformers backend")
    options = parser.parse_args()
    settings: dict[str, Any] = {"latency": options.latency, "api_key": options.api_key, "port": options.port}
    if options.engine:
        from support.engine import EngineAnswers

        engine = EngineAnswers(options.engine)
        settings |= {"answer": engine, "on_close": engine.close}
    with TestEndpoint(**settings) as endpoint:
        print(endpoint.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
