"""What a run achieved for the time and the accelerators it took, for `run.json`: pooled over its workers, whose clocks differ a
little, so that it tells a story and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from assay_api.records import ChunkWork
from assay_api.results import Goodput


@dataclass(slots=True)
class _Span:
    start: float
    end: float
    accelerators: int


class Efficiency:
    """Collects what the chunks say of who did them and when."""

    def __init__(self) -> None:
        self._workers: dict[str, _Span] = {}
        self._samples = self._tokens = 0
        self._complete = True

    def add(self, work: ChunkWork | None, *, samples: int, tokens: int) -> None:
        """Take in one chunk: its successful samples, and the tokens generated for them."""
        self._samples += samples
        self._tokens += tokens
        if work is None:
            self._complete = False
            return
        start = work.finished - work.seconds
        span = self._workers.setdefault(work.worker, _Span(start, work.finished, work.accelerators))
        span.start, span.end = min(span.start, start), max(span.end, work.finished)
        span.accelerators = max(span.accelerators, work.accelerators)

    def goodput(self) -> Goodput | None:
        """Successful work per second from the first worker's first chunk to the last one's last; None when a chunk has no
        time, since a part would look like the whole."""
        if not self._complete or not self._workers:
            return None
        spans = self._workers.values()
        seconds = max(span.end for span in spans) - min(span.start for span in spans)
        if seconds <= 0:
            return None
        return Goodput(seconds=seconds, samples=self._samples / seconds, tokens_out=self._tokens / seconds)

    def accelerator_seconds(self) -> float | None:
        """Over all workers, the time between their first and last work, times the accelerators they hold."""
        if not self._complete:
            return None
        return sum((span.end - span.start) * span.accelerators for span in self._workers.values())
