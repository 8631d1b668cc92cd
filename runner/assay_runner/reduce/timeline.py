"""A run over time, for `run.json`: when samples were finished and how long answers took meanwhile.

The times are those that workers wrote into the headers of their record files. Clocks of several machines differ a little,
so this tells a story and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from assay_api.records import ChunkWork
from assay_api.results import Histogram, Interval, Percentiles, Timeline

_INTERVALS = 60
_CLASSES = 40
_SHORTEST = 1e-3
"""Seconds of an interval, at least."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    work: ChunkWork
    samples: int
    errors: int
    tokens_out: int
    latencies: range


class Timekeeper:
    """Collects when chunks were finished; the latencies stay with the caller."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._complete = True

    def add(self, work: ChunkWork | None, *, samples: int, errors: int, tokens_out: int, latencies: range) -> None:
        """Take in one chunk; `latencies` are the places of its samples' latencies in what `line` is given."""
        if work is None:
            self._complete = False
        else:
            self._chunks.append(_Chunk(work, samples, errors, tokens_out, latencies))

    def line(self, latencies: Sequence[float]) -> Timeline | None:
        """The run in up to 60 intervals; None when a chunk has no time, since a part would look like the whole."""
        if not self._complete or not self._chunks:
            return None
        # Seconds since 1970 are too long to be cut finely: all times are taken from a common one.
        origin = min(chunk.work.finished for chunk in self._chunks)
        ends = [chunk.work.finished - origin for chunk in self._chunks]
        start = min(end - chunk.work.seconds for end, chunk in zip(ends, self._chunks, strict=True))
        length = max(ends) - start
        count = max(1, min(_INTERVALS, math.floor(length / _SHORTEST)))
        step = max(length, _SHORTEST) / count
        done = [[0.0, 0.0, 0.0] for _ in range(count)]
        finished: list[list[range]] = [[] for _ in range(count)]
        for end, chunk in zip(ends, self._chunks, strict=True):
            begin = end - chunk.work.seconds
            first, last = (min(count - 1, int((at - start) / step)) for at in (begin, end))
            finished[last].append(chunk.latencies)
            for place in range(first, last + 1):
                inside = min(end, start + (place + 1) * step) - max(begin, start + place * step)
                share = max(0.0, inside) / chunk.work.seconds if first < last else 1.0
                for number, total in enumerate((chunk.samples, chunk.errors, chunk.tokens_out)):
                    done[place][number] += total * share
        return Timeline(
            start=origin + start,
            seconds=step,
            intervals=tuple(
                Interval(
                    samples=samples,
                    errors=errors,
                    tokens_out=tokens,
                    latency=_percentiles(latencies, finished[number]),
                )
                for number, (samples, errors, tokens) in enumerate(done)
            ),
        )


def histogram(values: Sequence[float]) -> Histogram | None:
    """The values in 40 classes whose edges are as many times one another apart; None when none is above zero.

    Values of zero or less count in the first class.
    """
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    low, high = float(found.min(initial=math.inf, where=found > 0)), float(found.max(initial=0.0))
    if high <= 0:
        return None
    if high / low <= 1 + 1e-9:
        return Histogram(edges=(low, math.nextafter(high, math.inf)), counts=(len(found),))
    edges = np.geomspace(low, high, _CLASSES + 1)
    edges[0], edges[-1] = low, high
    counts, _ = np.histogram(found.clip(low, high), edges)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def _percentiles(latencies: Sequence[float], places: Sequence[range]) -> Percentiles | None:
    import numpy as np

    found = np.asarray(latencies, dtype=np.float64)
    inside = np.concatenate([found[some.start : some.stop] for some in places] or [found[:0]])
    if not len(inside):
        return None
    p50, p90, p99 = np.quantile(inside, (0.5, 0.9, 0.99)).tolist()
    return Percentiles(p50=p50, p90=p90, p99=p99, max=float(inside.max()))
