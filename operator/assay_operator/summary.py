"""The job in a few words and counts, for people who look at it with kubectl."""

from __future__ import annotations

from datetime import datetime

from assay_api.errors import EXIT_STOPPED
from assay_api.evaljob import EvalJobSpec
from assay_api.status import EvalJobStatus, HeadlineResult, Summary, WorkersStatus
from assay_operator.lost import at_work, lost_workers
from assay_operator.names import Step
from assay_operator.observed import Observed

_TASKS = 3
"""Names of tasks that a column holds."""
_NOTE = 200


def workers_status(seen: Observed, now: datetime) -> WorkersStatus | None:
    """The work pods by state; None before there are any. Those that are lost are in none, others stand in for them."""
    job = seen.jobs.get(Step.WORK)
    if job is None:
        return seen.status.workers
    pods = [pod for pod in seen.of(Step.WORK) if not pod.deleting]
    before = seen.status.workers or WorkersStatus()
    preempted = sum(pod.disrupted or pod.exit_code == EXIT_STOPPED for pod in seen.of(Step.WORK))
    running = sum(at_work(pod, now) for pod in pods)
    wanted = job.parallelism - lost_workers(seen, now)
    return WorkersStatus(
        active=running,
        waiting=0 if job.finished or job.suspended else max(0, wanted - running - job.succeeded),
        succeeded=job.succeeded,
        failed=sum(pod.phase == "Failed" and not pod.disrupted and pod.exit_code != EXIT_STOPPED for pod in pods),
        preempted=max(before.preempted, preempted),
    )


def summarize(spec: EvalJobSpec, status: EvalJobStatus, note: str) -> Summary:
    """The columns of `kubectl get evaljobs`."""
    names = [task.name for task in spec.tasks]
    more = f" +{len(names) - _TASKS}" if len(names) > _TASKS else ""
    done = ""
    if status.plan:
        committed = status.progress.samples_done if status.progress else 0
        done = f"{committed:,}/{status.plan.samples:,}"
    workers = ""
    if status.workers and status.phase in ("Queued", "Running"):
        workers = f"{status.workers.active}/{spec.replicas}"
    return Summary(
        tasks=", ".join(names[:_TASKS]) + more,
        done=done,
        score=score(status.results[0]) if status.results else "",
        workers=workers,
        note=shortened(note),
    )


def shortened(note: str) -> str:
    """A note in a column's width: what is wrong and what to do stand at its end, where at its beginning."""
    return note if len(note) <= _NOTE else f"{note[: _NOTE // 4]} … {note[-(_NOTE - _NOTE // 4) :].lstrip()}"


def score(row: HeadlineResult) -> str:
    """One result in a column's width."""
    error = f" ± {_short(row.stderr)}" if row.stderr is not None else ""
    return f"{row.metric} {_short(row.value)}{error}"


def _short(number: str) -> str:
    try:
        return f"{float(number):.4f}"
    except ValueError:
        return number
