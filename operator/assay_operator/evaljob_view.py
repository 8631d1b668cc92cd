"""What metrics say of one EvalJob: a small immutable view of its object, kept for each of them while it exists.

With thousands of finished jobs these views are most of what the operator keeps, so they hold numbers and shared strings alone.
Like the other views they are total: what an object lacks, or holds in a way that nobody writes, is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay_operator.views import moment

Raw = Mapping[str, Any]

MOST_SCORES = 16
"""Rows of results that become metrics; the rest are in the status and in results.json."""
MOST_GATES = 16
_VERDICTS = {"passed": 1, "failed": 0}
_ENDED = ("Complete", "Failed")


@dataclass(frozen=True, slots=True)
class Score:
    """One headline result."""

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    """The ends of the 95 % interval."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How far the job is."""

    samples: int = 0
    samples_done: int = 0
    chunks: int = 0
    chunks_committed: int = 0
    errors: int = 0
    error_classes: tuple[tuple[str, int], ...] = ()
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    accelerator_seconds: int = 0
    samples_per_second: float = 0.0
    active: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    preempted: int = 0


@dataclass(frozen=True, slots=True)
class EvalJobView:
    """An EvalJob. Times are in seconds since 1970 (UTC)."""

    phase: str = "Pending"
    backend: str = ""
    model: str = ""
    failure: str = ""
    """Reason of the Failed condition."""
    started: float | None = None
    ended: float | None = None
    moved: float | None = None
    """When it last got on: the last commit while it runs, else the last change of a condition."""
    numbers: Numbers | None = None
    """None before there is a plan."""
    scores: tuple[Score, ...] = ()
    gates: tuple[tuple[str, int], ...] = ()
    """Name and 1 (passed), 0 (failed) or -1 (cannot tell)."""

    @property
    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.phase in _ENDED


def evaljob_view(raw: Raw) -> EvalJobView:
    """The view of an EvalJob."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    model = spec.get("model") or {}
    conditions: list[Raw] = status.get("conditions") or []
    phase = status.get("phase") or "Pending"
    return EvalJobView(
        phase=sys.intern(phase),
        backend=sys.intern(model.get("backend") or ""),
        model=sys.intern(model.get("name") or ""),
        failure=sys.intern(next((c.get("reason") or "" for c in conditions if _holds(c, "Failed")), "")),
        started=_seconds(status.get("startTime")),
        ended=_seconds(status.get("completionTime")),
        moved=_moved(raw, phase, conditions),
        numbers=_numbers(status) if status.get("plan") else None,
        scores=tuple(_scores(status)),
        gates=tuple(
            (sys.intern(str(gate.get("name"))), _VERDICTS.get(gate.get("verdict"), -1))
            for gate in (status.get("gates") or [])[:MOST_GATES]
        ),
    )


def _numbers(status: Raw) -> Numbers:
    plan, progress = status.get("plan") or {}, status.get("progress") or {}
    workers = status.get("workers") or {}
    classes = progress.get("errorClasses") or []
    return Numbers(
        samples=plan.get("samples") or 0,
        samples_done=progress.get("samplesDone") or 0,
        chunks=plan.get("chunks") or 0,
        chunks_committed=progress.get("chunksCommitted") or 0,
        errors=progress.get("errors") or 0,
        error_classes=tuple((sys.intern(row.get("name") or ""), row.get("count") or 0) for row in classes),
        retries=progress.get("retries") or 0,
        tokens_in=progress.get("tokensIn") or 0,
        tokens_out=progress.get("tokensOut") or 0,
        accelerator_seconds=progress.get("acceleratorSeconds") or 0,
        samples_per_second=progress.get("samplesPerSecond") or 0.0,
        active=workers.get("active") or 0,
        waiting=workers.get("waiting") or 0,
        succeeded=workers.get("succeeded") or 0,
        failed=workers.get("failed") or 0,
        preempted=workers.get("preempted") or 0,
    )


def _scores(status: Raw) -> Iterator[Score]:
    for row in (status.get("results") or [])[:MOST_SCORES]:
        value = _number(row.get("value"))
        if value is not None:
            task, metric = sys.intern(row.get("task") or ""), sys.intern(row.get("metric") or "")
            yield Score(task, metric, value, _number(row.get("ciLow")), _number(row.get("ciHigh")))


def _moved(raw: Raw, phase: str, conditions: list[Raw]) -> float | None:
    commit = ((raw.get("status") or {}).get("progress") or {}).get("lastCommitTime")
    # Conditions of a running job change with its servers and pods, also where nothing ever comes of it.
    if phase == "Running" and commit:
        return _seconds(commit)
    changes = [found for c in conditions if (found := _seconds(c.get("lastTransitionTime"))) is not None]
    return max(changes) if changes else _seconds((raw.get("metadata") or {}).get("creationTimestamp"))


def _holds(condition: Raw, kind: str) -> bool:
    return condition.get("type") == kind and condition.get("status") == "True"


def _seconds(text: str | None) -> float | None:
    found = moment(text)
    return found.timestamp() if found else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
