"""Asks an endpoint until it has answered: each fault is charged to whom it belongs, so that no sample is lost to the
endpoint's own trouble and none is asked for ever.

What a request itself may have caused (HTTP 500, no answer in time, an answer that is none, a connection lost while others
are served) is tried `retries` times more and is then the sample's error. What the endpoint says of its load (429, 503)
is waited for and never charged. An outage (connections refused, or lost by several requests in a row, or by one while
`/models` does not answer) is waited for by all; a request that is in flight at the beginning of several outages is taken
for their cause. What no request could survive (refused credentials, unknown model, an outage beyond its budget) ends the
worker, so that its open chunks stay uncommitted for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Generic, NamedTuple, TypeVar

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.flow import OUTAGE_SECONDS, Clock, Flow, Sleep, Ticket, jittered
from assay_runner.backends.hedge import Hedge
from assay_runner.backends.http_client import ExchangeError, HttpClient, Reply, UnreachableError, UntrustedError
from assay_runner.backends.http_connection import Watch
from assay_runner.backends.http_faults import excerpt, judge, retry_after
from assay_runner.backends.openai_replies import BadResponseError, UnanswerableError

T = TypeVar("T")

_LONGEST_WAIT = 30.0
_LONGEST_PROBE = 8.0
_LOOK_SECONDS = 15.0
_WORTH_TELLING = 2.0
"""Seconds of a pause that somebody who watches would wonder about."""
_UNKNOWN = 1.0
"""Seconds between two looks at whether latencies are known by now."""
_AWAY = frozenset({502, 503, 504})
"""What a gateway says when the server behind it is not there."""
_SUSPICIOUS = 3
"""Requests in a row that lose their connections, after which the endpoint is taken to be down."""
_SUSPECT, _OUTAGES = 2, 3
"""Outages that a request has been in flight at the beginning of: so many, and it is sent beside no other of the kind; more
than the second number, and it is taken for their cause."""
_REFUSALS, _REFUSED_SECONDS = 50, 5 * OUTAGE_SECONDS
"""Refusals and seconds of one request for want of capacity, while others are served, after which it is given up: some
servers say so of a request that is too large for any window."""


class RequestError(Exception):
    """One request has no answer. `kind` and the message are for its record."""

    def __init__(self, kind: str, message: str, attempts: int) -> None:
        self.kind, self.attempts = kind, attempts
        super().__init__(message)


class Asked(NamedTuple, Generic[T]):
    """An answer, the tries it took, the seconds of the last one, and of these until the first token, where it was watched."""

    value: T
    attempts: int
    latency: float
    first_token: float | None = None


@dataclass(slots=True)
class _Request(Generic[T]):
    path: str
    body: bytes
    decode: Callable[[bytes], T]
    watch: Callable[[], Watch] | None = None
    attempts: int = 0
    """Times it was sent."""
    charged: int = 0
    outages: int = 0
    refusals: int = 0
    refused_since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: str
    message: str


class Endpoint:
    """An OpenAI-compatible server as the workers use it."""

    def __init__(
        self,
        client: HttpClient,
        flow: Flow,
        *,
        retries: int,
        clock: Clock,
        sleep: Sleep,
        random: Random,
        hedge: Hedge | None = None,
    ) -> None:
        """`hedge`, when given, has late requests asked twice."""
        self._client, self._flow, self._retries, self._hedge = client, flow, retries, hedge
        self._clock, self._sleep, self._random = clock, sleep, random
        self._unreachable = False
        self._suspects: set[int] = set()
        self._alone = asyncio.Lock()
        self._probes = 0
        self._reason = ""
        self._looking: asyncio.Task[bool] | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """That the server is waited for, how long already or still, and why; empty when it is not."""
        if self._unreachable or self._flow.down:
            return f"waiting for {self._client.shown}, silent for {self._flow.silence:.0f} s ({self._reason})"
        if self._flow.paused > _WORTH_TELLING:
            return f"{self._client.shown} asked to be left alone for {self._flow.paused:.0f} s more"
        return ""

    async def wait_until_reachable(self) -> None:
        """Return when the server answers on `/models`.

        Raises:
            BackendFailed: it does not within the outage budget, or refuses the credentials.
        """
        while not await self._alive():
            self._unreachable = True
            self._flow.check(self._client.shown, self._reason)
            await self._sleep(self._pause())
        self._unreachable = False
        self._probes = 0

    async def close(self) -> None:
        """End what runs beside the requests; safe to call twice."""
        self._flow.close()
        for task in (self._looking, self._waiting):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, BackendFailed):
                    await task

    async def ask(
        self, path: str, body: bytes, decode: Callable[[bytes], T], watch: Callable[[], Watch] | None = None
    ) -> Asked[T]:
        """POST `body` and decode the answer; `watch` makes for each try what looks out for its first token.

        Raises:
            RequestError: this request has no answer.
            BackendFailed: no request will have one.
        """
        request = _Request(path, body, decode, watch)
        while True:
            outcome = await (self._once(request) if self._hedge is None else self._hedged(request, self._hedge))
            if isinstance(outcome, Asked):
                return outcome
            if (
                request.charged > self._retries
                or request.outages > _OUTAGES
                or (request.refusals > _REFUSALS and self._clock() - request.refused_since > _REFUSED_SECONDS)
            ):
                raise RequestError(outcome.kind, outcome.message, request.attempts)
            tries = request.charged + request.refusals
            if tries:
                await self._sleep(jittered(tries - 1, _LONGEST_WAIT, self._random))

    async def _hedged(self, request: _Request[T], hedge: Hedge) -> Asked[T] | _Fault:
        tries = {asyncio.create_task(self._once(request))}
        try:
            while len(tries) == 1:
                patience = hedge.patience
                done, _ = await asyncio.wait(tries, timeout=_UNKNOWN if patience is None else patience)
                if done:
                    break
                if patience is not None and self._flow.idle and hedge.take():
                    tries.add(asyncio.create_task(self._once(request)))
            while True:
                done, running = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
                outcomes = [task.result() for task in done]
                answers = [outcome for outcome in outcomes if isinstance(outcome, Asked)]
                if answers:
                    hedge.answered(answers[0].latency)
                if answers or not running:
                    return (answers or outcomes)[0]
                tries = running
        finally:
            for task in tries:
                task.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

    async def _once(self, request: _Request[T]) -> Asked[T] | _Fault:
        if request.outages < _SUSPECT:
            return await self._sent(request)
        async with self._alone:
            return await self._sent(request)

    async def _sent(self, request: _Request[T]) -> Asked[T] | _Fault:
        ticket = await self._flow.admit()
        try:
            try:
                watch = request.watch and request.watch()
                reply = await self._client.exchange("POST", request.path, request.body, watch=watch)
            except UnreachableError as error:
                self._lost(str(error))
                return _Fault("Connection", str(error))
            except UntrustedError as error:
                raise self._untrusted(error) from error
            except ExchangeError as error:
                request.attempts += 1
                return await self._without_answer(request, ticket, error)
            request.attempts += 1
            return await self._answered(request, ticket, reply)
        finally:
            self._flow.leave(ticket)

    async def _answered(self, request: _Request[T], ticket: Ticket, reply: Reply) -> Asked[T] | _Fault:
        verdict = judge(reply.status, reply.body, self._client.secret)
        match verdict.outcome:
            case "answer":
                try:
                    value = request.decode(reply.body)
                except UnanswerableError as error:
                    self._well(ticket)
                    raise RequestError(error.kind, str(error), request.attempts) from error
                except BadResponseError as error:
                    self._well(ticket)
                    request.charged += 1
                    return _Fault("BadResponse", f"{error}: {excerpt(reply.body, self._client.secret)}")
                latency = self._flow.good(ticket)
                self._suspects.clear()
                self._probes = 0
                return Asked(value, request.attempts, latency, reply.first_token)
            case "load":
                return self._refused(request, ticket, reply, _Fault(verdict.kind, verdict.message))
            case "away":
                return await self._in_question(request, ticket, _Fault(verdict.kind, verdict.message))
            case "retry":
                self._well(ticket)
                request.charged += 1
                if (pause := retry_after(reply.retry_after, datetime.now(UTC))) is not None:
                    self._flow.pause(pause)
                return _Fault(verdict.kind, verdict.message)
            case "fatal":
                raise BackendFailed(f"{self._client.shown} {verdict.message}.")
            case "row":
                self._well(ticket)
                raise RequestError(verdict.kind, verdict.message, request.attempts)

    def _refused(self, request: _Request[T], ticket: Ticket, reply: Reply, fault: _Fault) -> _Fault:
        if not request.refusals:
            request.refused_since = self._clock()
        request.refusals += 1
        pause = retry_after(reply.retry_after, datetime.now(UTC))
        tell = self._flow.too_fast if reply.status == 429 else self._flow.overloaded
        tell(ticket, pause, self._client.shown, f"{fault.kind}: {fault.message}")
        return fault

    async def _without_answer(self, request: _Request[T], ticket: Ticket, error: ExchangeError) -> _Fault:
        fault = _Fault(error.kind, str(error))
        if error.kind == "BadResponse":
            request.charged += 1
            return fault
        if error.kind == "Timeout":
            self._flow.slow(ticket)
        return await self._in_question(request, ticket, fault)

    async def _in_question(self, request: _Request[T], ticket: Ticket, fault: _Fault) -> _Fault:
        """Charge a fault to the request or, if it is the endpoint that is away, to the outage."""
        if fault.kind != "Timeout":
            self._suspects.add(id(request))
        if ticket.outage == self._flow.outages and (
            self._flow.recovering or len(self._suspects) >= _SUSPICIOUS or not await self._alive()
        ):
            self._lost(fault.message)
        if ticket.outage < self._flow.outages:
            request.outages += 1
        else:
            request.charged += 1
        return fault

    def _well(self, ticket: Ticket) -> None:
        self._suspects.clear()
        self._flow.well(ticket)

    def _lost(self, reason: str) -> None:
        """Stop sending, and find out by one question at a time when the endpoint is back."""
        self._flow.lost()
        self._reason = reason
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        try:
            while self._flow.down:
                self._flow.check(self._client.shown, self._reason)
                await self._sleep(self._pause())
                if await self._alive():
                    self._suspects.clear()
                    self._flow.back()
        except BackendFailed as error:
            self._flow.fail(error)

    def _pause(self) -> float:
        self._probes += 1
        return jittered(self._probes - 1, _LONGEST_PROBE, self._random)

    async def _alive(self) -> bool:
        """Whether the endpoint answers; many who ask at once share one question."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> bool:
        try:
            reply = await self._client.exchange("GET", "models", seconds=_LOOK_SECONDS)
        except (UnreachableError, ExchangeError) as error:
            self._reason = str(error)
            return False
        except UntrustedError as error:
            raise self._untrusted(error) from error
        if reply.status in (401, 403):
            said = excerpt(reply.body, self._client.secret)
            raise BackendFailed(f"{self._client.shown} refuses the credentials (HTTP {reply.status}): {said}")
        self._reason = f"HTTP {reply.status}"
        return reply.status not in _AWAY

    def _untrusted(self, error: UntrustedError) -> BackendFailed:
        return BackendFailed(f"{self._client.shown} is not trusted: {error}.")
