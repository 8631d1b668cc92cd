"""What passes through one worker while it works, request by request, for its metrics: no number of the results depends on it.

Unlike the tally, which counts committed chunks, this counts what is done, also what never counts because the worker dies or
somebody else commits first. Written by the worker's loop and read by the thread that serves metrics.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from assay_api.records import SampleRecord
from assay_runner.backends.base import Response
from assay_runner.work.error_classes import count_class

COMMIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Durations:
    """A histogram of seconds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper ends of all buckets but the last, which has none."""
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        """Each bucket's upper end, as text, and how many lie below it."""
        counts, sums, below = tuple(self._counts), [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), counts, strict=True):
            below += count
            sums.append((bound, below))
        return sums


@dataclass(slots=True)
class Meter:
    """Counts since the worker's start."""

    samples: int = 0
    """Samples with a record, scored or failed."""
    errors: dict[str, int] = field(default_factory=dict)
    """Class → failed samples among them."""
    retries: int = 0
    """Times that a request was sent again."""
    tokens_in: int = 0
    tokens_out: int = 0
    requests: Durations = field(default_factory=lambda: Durations(REQUEST_BUCKETS))
    """From sending a request to its complete answer, of those that were answered."""

    def answered(self, response: Response) -> None:
        """A request has its answer, or will have none."""
        if response.latency is not None:
            self.requests.add(response.latency)
        self.retries += max(0, response.attempts - 1)
        self.tokens_in += response.tokens_in or 0
        self.tokens_out += response.tokens_out or 0

    def recorded(self, records: Iterable[SampleRecord]) -> None:
        """Samples have their records."""
        for record in records:
            self.samples += 1
            if record.error is not None:
                count_class(self.errors, record.error.kind)
