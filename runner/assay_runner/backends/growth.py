"""How many requests in flight serve an endpoint best: grows while more of them bring more answers, shrinks on overload.

From a small start the number doubles as long as a round of answers shows a gain: the answers per second that a level
brings are its requests in flight over their mean latency (Little's law, J. Little, "A Proof for the Queuing Formula
L = λW", Operations Research 9(3), 1961). Where twice as many bring less than a tenth more, they only queue; the level
before is kept, and tried to be exceeded again later. A complaint of overload takes a third away and ends the doubling:
from there on the number rises by one with every round (additive increase, multiplicative decrease; D. Chiu and R. Jain,
"Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989)."""

from __future__ import annotations

from dataclasses import dataclass

START = 16
"""Requests in flight at first."""
_GAIN = 0.1
"""Of a growth in requests, the part that has to come back as a growth in answers per second."""
_HOLD = 10
"""Rounds of answers at a level that has proved best before more are tried."""
_STEP = 1.25
"""Growth after such a hold."""


@dataclass(frozen=True, slots=True)
class _Measured:
    level: int
    rate: float
    """Answers per second."""


class Growth:
    """The level: requests in flight that an endpoint is trusted with, from 1 to the limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self.level = limit, min(limit, START)
        self._best: _Measured | None = None
        self._complained = False
        self._hold = 0
        self._answers, self._seconds = 0, 0.0

    def good(self, level: int, latency: float) -> None:
        """A good answer came after `latency` seconds to a request that was sent when the `level` was filled."""
        if level != self.level or level >= self._limit:
            return
        self._answers += 1
        self._seconds += latency
        if self._answers >= level:
            measured = _Measured(level, level * self._answers / max(self._seconds, 1e-9))
            self._settle(measured)

    def overloaded(self, level: int) -> None:
        """The endpoint complained about a request that was sent at `level`. Those that were in flight together count as
        one complaint."""
        if level == self.level:
            self._complained = True
            self._move(max(1, level * 2 // 3))

    def _settle(self, measured: _Measured) -> None:
        best = self._best
        if self._complained:
            self._move(measured.level + 1)
        elif best is not None and measured.level > best.level and measured.rate < best.rate * self._wanted(measured):
            self._hold = _HOLD
            self._move(best.level)
        elif self._hold:
            self._hold -= 1
            self._best = measured
            self._move(measured.level if self._hold else max(measured.level + 1, int(measured.level * _STEP)))
        else:
            self._best = measured
            self._move(2 * measured.level)

    def _wanted(self, measured: _Measured) -> float:
        assert self._best is not None
        return 1 + _GAIN * (measured.level / self._best.level - 1)

    def _move(self, level: int) -> None:
        self.level = min(self._limit, level)
        self._answers, self._seconds = 0, 0.0
