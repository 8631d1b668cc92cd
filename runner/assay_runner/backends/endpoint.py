"""Asks an endpoint until it has answered: retries passing faults of one request, waits out an outage of all of them.

A request is tried `retries` times more after a fault that may pass. What then still fails is the sample's error; what
no request could survive (refused credentials, unknown model, an outage beyond its budget) ends the worker, so that
its open chunks stay uncommitted for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Generic, TypeVar

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.flow import Clock, Flow, Sleep, jittered
from assay_runner.backends.http_client import ExchangeError, HttpClient, Reply, UnreachableError, UntrustedError
from assay_runner.backends.http_faults import excerpt, judge, retry_after
from assay_runner.backends.openai_wire import BadResponseError, UnanswerableError

T = TypeVar("T")

_LONGEST_WAIT = 30.0
_OVERLOAD = frozenset({429, 503})


class RequestError(Exception):
    """One request has no answer. `kind` and the message are for its record."""

    def __init__(self, kind: str, message: str, attempts: int) -> None:
        self.kind, self.attempts = kind, attempts
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """An answer, the tries it took, and the seconds of the last one."""

    value: T
    attempts: int
    latency: float


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: str
    message: str
    wait: float | None = None


class Endpoint:
    """An OpenAI-compatible server as the workers use it."""

    def __init__(
        self, client: HttpClient, flow: Flow, *, retries: int, clock: Clock, sleep: Sleep, random: Random
    ) -> None:
        self._client, self._flow, self._retries = client, flow, retries
        self._clock, self._sleep, self._random = clock, sleep, random

    async def wait_until_reachable(self) -> None:
        """Return when the server answers anything at all on `/models`.

        Raises:
            BackendFailed: it accepts no connection within the outage budget, or refuses the credentials.
        """
        try:
            reply = await self._reach("GET", "models", None)
        except ExchangeError:
            return
        if reply[0].status in (401, 403):
            raise BackendFailed(
                f"{self._client.shown} refuses the credentials (HTTP {reply[0].status}): "
                f"{excerpt(reply[0].body, self._client.secret)}"
            )

    async def ask(self, path: str, body: bytes, decode: Callable[[bytes], T]) -> Asked[T]:
        """POST `body` and decode the answer.

        Raises:
            RequestError: this request has no answer.
            BackendFailed: no request will have one.
        """
        attempts = 0
        while True:
            attempts += 1
            outcome = await self._once(path, body, decode, attempts)
            if isinstance(outcome, Asked):
                return outcome
            if attempts > self._retries:
                raise RequestError(outcome.kind, outcome.message, attempts)
            if outcome.wait is not None:
                self._flow.pause(outcome.wait)
            await self._sleep(jittered(attempts - 1, _LONGEST_WAIT, self._random))

    async def _once(self, path: str, body: bytes, decode: Callable[[bytes], T], attempt: int) -> Asked[T] | _Fault:
        try:
            reply, latency, ticket = await self._reach("POST", path, body)
        except ExchangeError as error:
            return _Fault(error.kind, str(error))
        verdict = judge(reply.status, reply.body, self._client.secret)
        match verdict.outcome:
            case "answer":
                try:
                    value = decode(reply.body)
                except UnanswerableError as error:
                    raise RequestError(error.kind, str(error), attempt) from error
                except BadResponseError as error:
                    return _Fault("BadResponse", f"{error}: {excerpt(reply.body, self._client.secret)}")
                self._flow.succeeded()
                return Asked(value, attempt, latency)
            case "retry":
                if reply.status in _OVERLOAD:
                    self._flow.overloaded(ticket)
                return _Fault(verdict.kind, verdict.message, retry_after(reply.retry_after, datetime.now(UTC)))
            case "fatal":
                raise BackendFailed(f"{self._client.shown} {verdict.message}.")
            case "row":
                raise RequestError(verdict.kind, verdict.message, attempt)

    async def _reach(self, method: str, path: str, body: bytes | None) -> tuple[Reply, float, int]:
        """One exchange, waiting while nobody can connect; with its seconds and the ticket it was admitted with."""
        while True:
            ticket = await self._flow.admit()
            started = self._clock()
            try:
                reply = await self._client.exchange(method, path, body)
            except UnreachableError as error:
                self._flow.unreachable(ticket, self._client.shown, str(error))
            except UntrustedError as error:
                raise BackendFailed(
                    f"{self._client.shown} has a TLS certificate that is not trusted: {error}."
                ) from error
            except ExchangeError:
                self._flow.answered()
                raise
            else:
                self._flow.answered()
                return reply, self._clock() - started, ticket
            finally:
                await self._flow.leave()
