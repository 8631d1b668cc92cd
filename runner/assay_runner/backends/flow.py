"""Decides when a request may be sent to an endpoint: how many are in flight, how fast they follow, and when all wait.

The number in flight never exceeds the worker's share of the job's; within it `growth` finds the level that serves best.
`pace` spaces requests once the endpoint has refused some for coming too fast. A stated `Retry-After` pauses everybody.
And while the endpoint is down nothing is sent; when it is back, one request goes first, then two, four, and so on, so
that what brought it down is not repeated by all at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.growth import Growth
from assay_runner.backends.pace import Pace

OUTAGE_SECONDS = 120.0
"""How long an endpoint may answer nothing before the worker gives up."""
_LONGEST_PAUSE, _LONGEST_PAUSES = 300.0, 3600.0
"""Of one stated pause, and of all that follow each other without an answer."""
_SHORTEST = 0.25
_QUOTA = 5.0
"""A stated pause of so many seconds belongs to a quota of minutes or more: between such pauses there is no limit to find."""
_AT_WORK = 15.0
"""Seconds after which a request in flight shows that the endpoint is at work on it: refusals come sooner."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


def jittered(step: int, longest: float, random: Random) -> float:
    """Seconds to wait before further try `step` (from 0): uniform in [0, min(longest, 2^step)] ("full jitter"), at
    least a quarter of a second."""
    return max(_SHORTEST, random.uniform(0, min(longest, 2.0 ** min(step, 16))))


class Ticket(NamedTuple):
    """The admission of one request."""

    number: int
    sent: float
    level: int
    full: bool
    """Whether as many were in flight as the level allowed."""
    outage: int
    """Outages that had begun when it was sent."""


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
        self._growth, self._pace = Growth(limit), Pace()
        self._clock, self._sleep, self._random, self._budget = clock, sleep, random, outage_seconds
        self._resume = self._well = clock()
        self._paused = 0.0
        self._sent: dict[int, float] = {}
        self._numbers = 0
        self._waiting: deque[asyncio.Future[Ticket]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._width: int | None = None
        self._answered = 0
        self.outages = 0
        """Outages so far."""
        self.down = False
        """Whether the endpoint is thought to be unreachable."""
        self._failed: BackendFailed | None = None

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        if self.down:
            return 0
        allowed = max(1, min(self._growth.level, self._share()))
        return allowed if self._width is None else min(allowed, self._width)

    @property
    def silence(self) -> float:
        """Seconds since the endpoint last answered a request."""
        return self._clock() - self._well

    @property
    def paused(self) -> float:
        """Seconds of a pause that are still to come."""
        return max(0.0, self._resume - self._clock())

    @property
    def recovering(self) -> bool:
        """Whether the endpoint has not shown yet that an outage is over."""
        return self._width == 1

    @property
    def idle(self) -> bool:
        """Whether there is room for a request that nobody waits for."""
        return not self._waiting and len(self._sent) < self.allowed and self._open_in(self._clock()) <= 0

    async def admit(self) -> Ticket:
        """Wait for a place in flight.

        Raises:
            BackendFailed: no request will be answered any more.
        """
        if self._failed:
            raise self._failed
        if self.idle:
            return self._ticket()
        place: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._wake()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(place.result())
            raise

    def leave(self, ticket: Ticket) -> None:
        """Give the place back."""
        del self._sent[ticket.number]
        self._wake()

    def good(self, ticket: Ticket) -> float:
        """The endpoint gave a good answer; its seconds are returned."""
        now = self._clock()
        if ticket.full:
            self._growth.good(ticket.level, now - ticket.sent)
        self.well(ticket)
        return now - ticket.sent

    def well(self, ticket: Ticket) -> None:
        """The endpoint answered this request, be it with an error of its own."""
        self._well, self._paused = self._clock(), 0.0
        if ticket.outage == self.outages and not self.down and self._width is not None:
            self._answered += 1
            if self._answered >= self._width:
                self._answered, self._width = 0, 2 * self._width
                self._width = None if self._width > self._growth.level else self._width
                self._wake()

    def overloaded(self, ticket: Ticket, pause: float | None, where: str, reason: str) -> None:
        """The endpoint could not serve this request for want of capacity.

        Raises:
            BackendFailed: it has served none for longer than the outage budget.
        """
        self._growth.overloaded(ticket.level)
        self._refused(ticket, pause, where, reason)

    def too_fast(self, ticket: Ticket, pause: float | None, where: str, reason: str) -> None:
        """The endpoint refused this request for coming too soon after others.

        Raises:
            BackendFailed: it has refused all for longer than the outage budget.
        """
        if pause is None or pause < _QUOTA:
            self._pace.refused(ticket.sent, self._clock())
        self._refused(ticket, pause, where, reason)

    def slow(self, ticket: Ticket) -> None:
        """The endpoint did not answer this request in time."""
        self._growth.overloaded(ticket.level)

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`, at most for five minutes; a pause that was asked for is no outage."""
        now = self._clock()
        until = now + min(seconds, _LONGEST_PAUSE)
        if until > self._resume:
            self._paused += until - max(self._resume, now)
            self._resume = until
            self._pace.paused(until)

    def lost(self) -> None:
        """The endpoint is down: nothing is sent before `back`."""
        if not self.down:
            self.down, self._width = True, None
            self.outages += 1

    def back(self) -> None:
        """The endpoint answers again: one request may go first."""
        self.down, self._width, self._answered = False, 1, 0
        self._wake()

    def check(self, where: str, reason: str) -> None:
        """Look whether the outage has lasted too long.

        Raises:
            BackendFailed: it has.
        """
        silent = self._clock() - self._well - min(self._paused, _LONGEST_PAUSES)
        if silent > self._budget and not self._at_work():
            self.fail(BackendFailed(f"{where} has answered no request for {silent:.0f} s ({reason})."))
        if self._failed:
            raise self._failed

    def fail(self, error: BackendFailed) -> None:
        """No request will be answered any more: everybody who waits is told."""
        self._failed = error
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)

    def close(self) -> None:
        """End what runs beside the requests."""
        if self._timer:
            self._timer.cancel()

    def _refused(self, ticket: Ticket, pause: float | None, where: str, reason: str) -> None:
        if pause is not None:
            self.pause(pause)
        self.check(where, reason)

    def _at_work(self) -> bool:
        oldest = next(iter(self._sent.values()), None)
        return oldest is not None and self._clock() - oldest > _AT_WORK

    def _open_in(self, now: float) -> float:
        """Seconds until pause and pace let a request through."""
        return max(self._resume, self._pace.ready) - now

    def _ticket(self) -> Ticket:
        now = self._clock()
        self._pace.sent(now)
        self._numbers += 1
        self._sent[self._numbers] = now
        full = len(self._sent) >= self._growth.level
        return Ticket(self._numbers, now, self._growth.level, full, self.outages)

    def _wake(self) -> None:
        """Let in who may go, and see to it that this is looked at again when more may."""
        while self._waiting and len(self._sent) < self.allowed:
            wait = self._open_in(self._clock())
            if wait > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().create_task(self._wake_in(wait))
                return
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(self._ticket())

    async def _wake_in(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._timer = None
        self._wake()
