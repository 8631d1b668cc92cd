"""An endpoint on a clock that jumps, with the limits and troubles that real ones have and a test cannot wait for."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from assay_runner.backends.endpoint import Asked, Endpoint, RequestError
from assay_runner.backends.flow import Flow
from assay_runner.backends.hedge import Hedge
from assay_runner.backends.http_client import ExchangeError, Reply, UnreachableError

Trouble = Callable[[bytes], "Reply | Exception | None"]


def answer(status: int, retry_after: str | None = None) -> Reply:
    return Reply(status, json.dumps({"error": {"message": "no"}}).encode(), retry_after)


@dataclass
class SimulatedServer:
    """Takes the place of an `HttpClient`. `trouble` says what a body is answered with instead of "yes"."""

    latency: Callable[[bytes], float] = lambda body: 0.02
    trouble: Trouble = lambda body: None
    models: Callable[[], Reply | Exception] = lambda: answer(200)
    shown: str = "http://there/v1"
    secret: str | None = None
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)
    refused: int = 0
    in_flight: int = 0
    peak: int = 0

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def exchange(
        self, method: str, path: str, body: bytes | None = None, *, seconds: float | None = None, watch: object = None
    ) -> Reply:
        if method == "GET":
            self.looked.append(self.now)
            await asyncio.sleep(0.001)
            return _given(self.models())
        assert body is not None
        self.sent.append((self.now, body))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            found = self.trouble(body)
            if found is not None:
                self.refused += 1
                await asyncio.sleep(0.001)
                return _given(found)
            await asyncio.sleep(self.latency(body))
            found = self.trouble(b"")
            return _given(found) if isinstance(found, Exception) else answer(200)
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        pass


def _given(found: Reply | Exception) -> Reply:
    if isinstance(found, Exception):
        raise found
    return found


class Sliding:
    """Refuses what comes after `most` requests within any second."""

    def __init__(self, most: int, retry_after: str | None = None) -> None:
        self._most, self._retry_after, self._served = most, retry_after, deque[float]()

    def __call__(self, body: bytes) -> Reply | None:
        if not body:
            return None
        now = asyncio.get_running_loop().time()
        while self._served and self._served[0] <= now - 1:
            self._served.popleft()
        if len(self._served) >= self._most:
            return answer(429, self._retry_after)
        self._served.append(now)
        return None


class Windows:
    """Refuses what comes after `most` requests within a second of the clock."""

    def __init__(self, most: int, retry_after: str | None = None) -> None:
        self._most, self._retry_after, self._window, self._count = most, retry_after, 0, 0

    def __call__(self, body: bytes) -> Reply | None:
        if not body:
            return None
        window = int(asyncio.get_running_loop().time())
        self._count = self._count + 1 if window == self._window else 1
        self._window = window
        return answer(429, self._retry_after) if self._count > self._most else None


class Bucket:
    """Refuses what finds no token in a bucket that is filled with `rate` a second and holds `rate`."""

    def __init__(self, rate: int, retry_after: str | None = None) -> None:
        self._rate, self._retry_after, self._tokens, self._at = rate, retry_after, float(rate), 0.0

    def __call__(self, body: bytes) -> Reply | None:
        if not body:
            return None
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return answer(429, self._retry_after)
        self._tokens -= 1
        return None


class Outages:
    """Away from a moment for a while; `how` is what who asks meanwhile sees, and what was in flight loses."""

    def __init__(self, server: SimulatedServer, *, at: float, seconds: float, how: Callable[[], Any]) -> None:
        self._at, self._seconds, self._how = at, seconds, how
        self._began: float | None = None
        server.trouble = self
        server.models = lambda: self._seen() or answer(200)

    def _seen(self) -> Any:
        now = asyncio.get_running_loop().time()
        self._began = now if self._began is None else self._began
        return self._how() if self._at <= now - self._began < self._at + self._seconds else None

    def __call__(self, body: bytes) -> Any:
        found = self._seen()
        if found is not None and not body:
            return ExchangeError("Connection", "the connection was lost")
        return found


def refused() -> Exception:
    return UnreachableError("there:80: Connection refused")


def dropped() -> Exception:
    return ExchangeError("Connection", "the connection was lost")


@dataclass
class Outcome:
    """What came of a run through the simulated server."""

    answers: dict[int, Asked[bytes] | RequestError]
    seconds: float
    level: int
    troubles: list[tuple[float, str]]
    """Seconds, and what somebody who looked every second was then told."""

    @property
    def errors(self) -> dict[int, RequestError]:
        return {number: found for number, found in self.answers.items() if isinstance(found, RequestError)}


async def ask_all(
    server: SimulatedServer, count: int, *, limit: int = 64, retries: int = 3, hedge: Hedge | None = None
) -> Outcome:
    """`count` requests as the backend asks them: by twice as many tasks as may be in flight."""
    loop = asyncio.get_running_loop()
    flow = Flow(limit, clock=loop.time, sleep=asyncio.sleep, random=Random(1))
    client: Any = server
    endpoint = Endpoint(
        client, flow, retries=retries, clock=loop.time, sleep=asyncio.sleep, random=Random(2), hedge=hedge
    )
    todo = iter(range(count))
    answers: dict[int, Asked[bytes] | RequestError] = {}
    began = loop.time()
    troubles: list[tuple[float, str]] = []

    async def watch() -> None:
        while True:
            troubles.append((loop.time() - began, endpoint.trouble))
            await asyncio.sleep(1)

    async def lane() -> None:
        for number in todo:
            try:
                answers[number] = await endpoint.ask("chat/completions", b"%d" % number, bytes)
            except RequestError as error:
                answers[number] = error

    watching = asyncio.create_task(watch())
    lanes = [asyncio.create_task(lane()) for _ in range(2 * limit)]
    try:
        await asyncio.gather(*lanes)
    finally:
        for task in (watching, *lanes):
            task.cancel()
        await asyncio.gather(watching, *lanes, return_exceptions=True)
        await endpoint.close()
    return Outcome(answers, loop.time() - began, flow.allowed, troubles)
