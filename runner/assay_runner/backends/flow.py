"""Decides when a request may be sent to an endpoint: how many are in flight, and when all of them have to wait.

Three things hold requests back. The number in flight never exceeds the worker's share; it falls by a third when the
endpoint says that it is overloaded and rises by one for every full round of answers (additive increase,
multiplicative decrease). A stated `Retry-After` pauses everybody. And while the endpoint accepts no connection at
all, one request at a time finds out whether it is back and the others wait, until the outage budget is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from assay_runner.backends.base import BackendFailed

OUTAGE_SECONDS = 120.0
"""How long an endpoint may refuse connections before the worker gives up."""
_LONGEST_PAUSE = 300.0
_LONGEST_PROBE = 8.0
_SHORTEST = 0.25

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


def jittered(step: int, longest: float, random: Random) -> float:
    """Seconds to wait before further try `step` (from 0): uniform in [0, min(longest, 2^step)] ("full jitter"), at
    least a quarter of a second."""
    return max(_SHORTEST, random.uniform(0, min(longest, 2.0 ** min(step, 16))))


class Flow:
    """Admission of requests to one endpoint; lives in one event loop."""

    def __init__(
        self,
        limit: int,
        *,
        clock: Clock,
        sleep: Sleep,
        random: Random,
        outage_seconds: float = OUTAGE_SECONDS,
        share: Callable[[], int] | None = None,
    ) -> None:
        """`limit` is the most requests in flight, and `share`, when given, the most just now; `clock` is monotonic, in
        seconds."""
        self._share = share or (lambda: limit)
        self._limit, self._allowed, self._in_flight = limit, float(limit), 0
        self._clock, self._sleep, self._random, self._budget = clock, sleep, random, outage_seconds
        self._resume = clock()
        self._down_since: float | None = None
        self._probes = 0
        self._round = 0
        self._freed = asyncio.Condition()

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        return 1 if self._down_since is not None else min(int(self._allowed), self._share())

    async def admit(self) -> int:
        """Wait for a place in flight; the answer is a ticket for `overloaded` and `unreachable`."""
        while True:
            wait = self._resume - self._clock()
            if wait > 0:
                await self._sleep(wait)
                continue
            async with self._freed:
                if self._in_flight < self.allowed and self._resume <= self._clock():
                    self._in_flight += 1
                    return self._round
                if self._in_flight >= self.allowed:
                    await self._freed.wait()

    async def leave(self) -> None:
        """Give the place back."""
        async with self._freed:
            self._in_flight -= 1
            self._freed.notify(max(1, self.allowed - self._in_flight))

    def answered(self) -> None:
        """The endpoint gave an answer, whatever it was: it is reachable."""
        self._down_since, self._probes = None, 0

    def succeeded(self) -> None:
        """The endpoint gave a good answer: allow a little more."""
        self._allowed = min(float(self._limit), self._allowed + 1 / self._allowed)

    def overloaded(self, ticket: int) -> None:
        """The endpoint asked for fewer requests. Those that were in flight together count as one complaint."""
        if ticket == self._round:
            self._round += 1
            self._allowed = max(1.0, self._allowed * 2 / 3)

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`, at most for five minutes."""
        self._resume = max(self._resume, self._clock() + min(seconds, _LONGEST_PAUSE))

    def unreachable(self, ticket: int, where: str, reason: str) -> None:
        """A connection was refused; everybody waits.

        Raises:
            BackendFailed: the endpoint has been away for longer than the outage budget.
        """
        now = self._clock()
        if self._down_since is None:
            self._down_since = now
        if now - self._down_since > self._budget:
            raise BackendFailed(f"{where} has accepted no connection for {now - self._down_since:.0f} s ({reason}).")
        if ticket == self._round:
            self._round += 1
            self.pause(jittered(self._probes, _LONGEST_PROBE, self._random))
            self._probes += 1
