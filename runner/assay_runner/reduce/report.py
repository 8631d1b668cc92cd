"""`run.json`: how the run went. Times, tokens and latencies are pooled over samples, never averaged over workers."""

from __future__ import annotations

from array import array

from assay_api.plan import Plan
from assay_api.records import StorageProbe
from assay_api.results import Percentiles, RunReport, Stages, WorkerReport
from assay_runner.reduce.efficiency import Efficiency
from assay_runner.reduce.timeline import Timekeeper, histogram
from assay_runner.reduce.verify import VerifiedChunk
from assay_runner.statistics.percentiles import percentiles_of_sorted
from assay_runner.store.base import Store
from assay_runner.work.board import read_progress

_NAMED = 10
"""Chunks with failed samples that a message names."""


class RunTally:
    """Collects what `run.json` says while the reducer reads the chunks."""

    def __init__(self, plan: Plan, probed: StorageProbe) -> None:
        self._plan, self._probed = plan, probed
        self._latency, self._first, self._queue = array("d"), array("d"), array("d")
        self._errors = self._retried = self._tokens_in = self._tokens_out = 0
        self._pins: dict[str, str] = {}
        self._failed: list[str] = []
        self._time, self._efficiency = Timekeeper(), Efficiency()
        self._tokens_reasoning = 0
        self._stages = [0.0, 0.0, 0.0]
        self._failed_chunks = 0

    def add(self, chunk: VerifiedChunk) -> None:
        """Take in one verified chunk."""
        if self._probed.mode == "fallback":
            self._pins[chunk.key] = chunk.digest
        tally = chunk.tally
        if failed := sum(tally.errors.values()):
            self._errors += failed
            self._failed_chunks += 1
            if len(self._failed) < _NAMED:
                self._failed.append(str(chunk.chunk))
        self._retried += tally.retried
        self._tokens_in += tally.tokens_in
        self._tokens_out += tally.tokens_out
        timed = len(self._latency)
        self._latency.frombytes(tally.latency)
        self._first.frombytes(tally.first_token)
        self._queue.frombytes(tally.queue)
        self._tokens_reasoning += tally.tokens_reasoning
        self._stages = [total + seconds for total, seconds in zip(self._stages, tally.stages, strict=True)]
        self._efficiency.add(chunk.work, samples=chunk.samples - failed, tokens=tally.tokens_good)
        self._time.add(
            chunk.work,
            samples=chunk.samples,
            errors=failed,
            tokens_out=tally.tokens_out,
            latencies=range(timed, len(self._latency)),
        )

    def failed_chunks(self) -> str:
        """The first chunks that hold failed samples, for a message."""
        more = self._failed_chunks - len(self._failed)
        return f"{', '.join(self._failed)}{f' and {more} more' if more else ''}"

    def report(self, store: Store, attempts: int, wall_seconds: float | None) -> RunReport:
        """The finished report; workers' own accounts are read from the store.

        Args:
            attempts: record files that the store holds.
        """
        decoding, encoding, scoring = self._stages
        return RunReport(
            plan=self._plan.digest,
            storage_mode=self._probed.mode,
            storage_reason=self._probed.reason,
            pins=self._pins,
            samples=self._plan.samples,
            errors=self._errors,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            # Before the percentiles, which sort.
            timeline=self._time.line(self._latency),
            latency_histogram=histogram(self._latency),
            stages=Stages(
                queue=sum(self._queue),
                decoding=decoding,
                encoding=encoding,
                generating=sum(self._latency),
                scoring=scoring,
            ),
            goodput=self._efficiency.goodput(),
            accelerator_seconds=self._efficiency.accelerator_seconds(),
            tokens_reasoning=self._tokens_reasoning,
            queue=_percentiles(self._queue),
            latency=_percentiles(self._latency),
            first_token=_percentiles(self._first),
            retried=self._retried,
            doubled_chunks=attempts - self._plan.chunks,
            workers=tuple(
                WorkerReport(
                    worker=worker.worker,
                    samples=worker.samples,
                    chunks=worker.chunks,
                    errors=worker.errors,
                    busy_seconds=worker.busy_seconds,
                )
                for worker in read_progress(store)
            ),
            wall_seconds=wall_seconds,
        )


def _percentiles(seconds: array[float]) -> Percentiles | None:
    """As `percentiles`, sorted in place: a list of as many numbers would be four times their size."""
    import numpy as np

    np.frombuffer(seconds, dtype=np.float64).sort()
    return percentiles_of_sorted(seconds)
