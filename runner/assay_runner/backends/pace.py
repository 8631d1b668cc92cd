"""How fast requests may follow each other, learned from an endpoint that refuses what comes too fast (HTTP 429).

Nothing is held back until the first refusal. Then requests are spaced as the endpoint has lately accepted them, and the
rate is raised every second until it is refused once more: what was accepted in a second in which some were refused is
the limit. A little below it requests are sent from then on. Refusals may cost everybody a pause, so it is half a minute
before more is tried, ever faster, until the next refusal or until the rate holds nothing back any more; each refusal
that follows such a raise doubles the time to the next."""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress

_WINDOWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Seconds that requests are counted over: the shortest in which there are enough."""
_SECOND = _WINDOWS[0]
_ENOUGH = 10
_REMEMBERED = 4096
_MARGIN = 0.97
"""Of the accepted requests per second, the part that is sent: spacing is never perfect."""
_LEAST = 0.8
"""Of the rate before, the part that is kept when a refusal comes so soon after a pause that little can be counted."""
_FIRST_HOLD, _LONGEST_HOLD = 30.0, 480.0
_BURST = 0.02
"""Seconds of requests that may be sent at once, since timers are not finer."""
_SLOWEST = 1 / 60
_FREE = 10.0
"""Times the rate that was kept, beyond which nothing is held back any more."""


class Pace:
    """The spacing of requests to one endpoint. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque(maxlen=_REMEMBERED)
        """When requests were sent that have not been refused."""
        self._base: float | None = None
        self._changed = self._resumed = -math.inf
        self._found = False
        """Whether the limit is known, or still looked for."""
        self._hold = _FIRST_HOLD
        self._next = -math.inf

    @property
    def ready(self) -> float:
        """When the next request may be sent; in the past when it may be at once."""
        return self._next

    def rate(self, now: float) -> float | None:
        """Requests per second; None when nothing is held back."""
        return None if self._base is None else self._base * self._raised(now)

    def sent(self, now: float) -> None:
        """A request is sent."""
        self._accepted.append(now)
        rate = self.rate(now)
        if rate is None:
            return
        if self._raised(now) > _FREE:
            self._base, self._found, self._hold, self._next = None, False, _FIRST_HOLD, -math.inf
            return
        self._next = max(self._next, now - _BURST) + 1 / rate

    def paused(self, until: float) -> None:
        """Nothing is sent until then."""
        self._resumed = max(self._resumed, until)

    def refused(self, sent: float, now: float) -> None:
        """A request that was sent at `sent` came too fast. Those that were sent within a second of the last change of the
        rate say little about it."""
        with suppress(ValueError):
            self._accepted.remove(sent)
        before = self.rate(now)
        if before is not None and sent < self._changed + _SECOND:
            return
        rate = max(_MARGIN * self._counted(now), _SLOWEST)
        if before is not None:
            if self._found and now - self._changed > self._hold:
                self._hold = min(2 * self._hold, _LONGEST_HOLD)
            self._found = True
            few = sum(time >= self._resumed for time in self._accepted) < _ENOUGH
            rate = min(before, max(rate, _LEAST * before) if few else rate)
        self._base, self._changed = rate, now
        self._next = max(self._next, now)

    def _raised(self, now: float) -> float:
        """What the rate has been multiplied by since it was last kept."""
        over = now - max(self._changed, self._resumed) - (self._hold if self._found else _SECOND)
        if over <= 0:
            return 1.0
        return math.exp(min(0.02 * over + 0.005 * over * over if self._found else 0.2 * over, 50.0))

    def _counted(self, now: float) -> float:
        """Accepted requests per second of late."""
        accepted = self._accepted
        if len(accepted) == accepted.maxlen and now - accepted[0] < _SECOND:
            return len(accepted) / max(now - accepted[0], 1e-3)
        for window in _WINDOWS:
            count = sum(time > now - window for time in accepted)
            if count >= _ENOUGH:
                return count / window
        return count / _WINDOWS[-1]
