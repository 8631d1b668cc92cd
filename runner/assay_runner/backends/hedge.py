"""Decides when a request that takes far longer than others is asked a second time, the first answer counting.

That costs tokens and changes nothing about a deterministic server's answers, so a job has to ask for it
(`spec.model.endpoint.hedge`). It pays at the end of a run, when few slow requests hold up all (J. Dean and L. Barroso,
"The Tail at Scale", Communications of the ACM 56(2), 2013)."""

from __future__ import annotations

from collections import deque

_REMEMBERED = 512
_ENOUGH = 32
"""Answers that have to be known before any can be called late."""
_PART = 0.05
"""Of all requests, the part that may be asked twice."""
_FACTOR = 2.0


class Hedge:
    """What is known of one endpoint's latencies, in seconds."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._asked = self._repeated = 0

    def answered(self, latency: float) -> None:
        """A good answer came after `latency` seconds."""
        self._latencies.append(latency)
        self._asked += 1

    @property
    def patience(self) -> float | None:
        """Seconds after which a request is late: twice the 95th percentile; None while that is not known."""
        if len(self._latencies) < _ENOUGH:
            return None
        return _FACTOR * sorted(self._latencies)[len(self._latencies) * 95 // 100]

    def take(self) -> bool:
        """Whether one more request may be asked twice."""
        if self._repeated + 1 > _PART * self._asked:
            return False
        self._repeated += 1
        return True
