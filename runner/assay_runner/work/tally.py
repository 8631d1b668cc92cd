"""What one worker has done so far, for its reports and its metrics; no number of the results depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from assay_runner.work.commit import Outcome
from assay_runner.work.error_classes import count_class
from assay_runner.work.meter import COMMIT_BUCKETS, Durations
from assay_runner.work.pipeline import Committed


@dataclass(slots=True)
class Tally:
    """Counts over the chunks that a worker finished. Chunks that others had committed first count as discarded only."""

    samples: int = 0
    errors: int = 0
    chunks: int = 0
    discarded: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    retries: int = 0
    """Further tries of samples."""
    error_classes: dict[str, int] = field(default_factory=dict)
    durations: list[float] = field(default_factory=list)
    """Seconds per chunk."""
    commit_seconds: Durations = field(default_factory=lambda: Durations(COMMIT_BUCKETS))
    """Of these, for writing data and marker."""
    busy: float = 0.0
    """Seconds during which a chunk was under work."""
    last_commit: float = 0.0
    """When the last chunk was finished."""

    @property
    def rate(self) -> float:
        """Samples per busy second."""
        return self.samples / self.busy if self.busy else 0.0

    def reported(self) -> dict[str, Any]:
        """What a progress report says of it."""
        return {
            "samples": self.samples,
            "errors": self.errors,
            "chunks": self.chunks,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "retries": self.retries,
            "error_classes": self.error_classes,
            "busy_seconds": self.busy,
            "rate": self.rate,
        }

    def add(self, committed: Committed, now: float) -> None:
        """Take in a chunk that was finished at `now`."""
        self.durations.append(committed.seconds)
        self.commit_seconds.add(committed.commit_seconds)
        self.busy += now - max(self.last_commit, now - committed.seconds)
        self.last_commit = now
        if committed.outcome is Outcome.DISCARDED:
            self.discarded += 1
            return
        self.chunks += 1
        self.samples += len(committed.records)
        self.errors += committed.errors
        self.tokens_in += sum(record.usage.tokens_in or 0 for record in committed.records)
        self.tokens_out += sum(record.usage.tokens_out or 0 for record in committed.records)
        for record in committed.records:
            self.retries += max(0, record.attempts - 1)
            if record.error is not None:
                count_class(self.error_classes, record.error.kind)
