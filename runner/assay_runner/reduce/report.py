"""`run.json`: how the run went. Times, tokens and latencies are pooled over samples, never averaged over workers."""

from __future__ import annotations

from array import array

from assay_api.plan import Plan
from assay_api.records import StorageProbe
from assay_api.results import RunReport, WorkerReport
from assay_runner.reduce.timeline import Timekeeper, histogram
from assay_runner.reduce.verify import VerifiedChunk
from assay_runner.statistics.percentiles import percentiles
from assay_runner.store.base import Store
from assay_runner.work.board import read_progress


class RunTally:
    """Collects what `run.json` says while the reducer reads the chunks."""

    def __init__(self, plan: Plan, probed: StorageProbe) -> None:
        self._plan, self._probed = plan, probed
        self._latency, self._first = array("d"), array("d")
        self._errors = self._retried = self._tokens_in = self._tokens_out = 0
        self._pins: dict[str, str] = {}
        self._failed: list[str] = []
        self._time = Timekeeper()

    def add(self, chunk: VerifiedChunk) -> None:
        """Take in one verified chunk."""
        if self._probed.mode == "fallback":
            self._pins[chunk.key] = chunk.digest
        if any(record.error is not None for record in chunk.records):
            self._failed.append(str(chunk.chunk))
        errors, tokens, timed = self._errors, self._tokens_out, len(self._latency)
        for record in chunk.records:
            self._errors += record.error is not None
            self._retried += record.attempts > 1
            self._tokens_in += record.usage.tokens_in or 0
            self._tokens_out += record.usage.tokens_out or 0
            if record.usage.latency is not None:
                self._latency.append(record.usage.latency)
            if record.usage.first_token is not None:
                self._first.append(record.usage.first_token)
        self._time.add(
            chunk.work,
            samples=len(chunk.records),
            errors=self._errors - errors,
            tokens_out=self._tokens_out - tokens,
            latencies=range(timed, len(self._latency)),
        )

    def failed_chunks(self, most: int = 10) -> str:
        """The chunks that hold failed samples, for a message."""
        more = f" and {len(self._failed) - most} more" if len(self._failed) > most else ""
        return f"{', '.join(self._failed[:most])}{more}"

    def report(self, store: Store, wall_seconds: float | None) -> RunReport:
        """The finished report; workers' own accounts and doubled chunks are read from the store."""
        attempts = sum(key.endswith(".jsonl.zst") for key in store.list("chunks/"))
        return RunReport(
            plan=self._plan.digest,
            storage_mode=self._probed.mode,
            storage_reason=self._probed.reason,
            pins=self._pins,
            samples=self._plan.samples,
            errors=self._errors,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            latency=percentiles(self._latency),
            first_token=percentiles(self._first),
            latency_histogram=histogram(self._latency),
            timeline=self._time.line(self._latency),
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
