"""An EvalJob's status for people: a page, a line, a table of results. Pure: a job and the time in, text out."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from assay_api import layout
from assay_api.status import Condition, HeadlineResult, WorkersStatus
from assay_runner.cluster.job import Job, outcome
from assay_runner.duration import duration

if TYPE_CHECKING:
    from rich.table import Table

_BAR = 24
_TASKS = 5
_UNNOTICED_SECONDS = 15
_CALM_WHEN_FALSE = ("Complete", "Failed", "Suspended")


def page(job: Job, now: datetime) -> list[str]:
    """All that a person wants to know of the job, without its results."""
    rows = [
        ("model", f"{job.model} ({job.spec.get('model', {}).get('backend', '?')})"),
        ("tasks", _tasks(job)),
        ("plan", _plan(job)),
        ("storage", (job.status.plan and job.status.plan.storage_mode) or ""),
        ("progress", f"{bar(job)}  {progress(job, now)}" if job.status.progress else ""),
        ("workers", workers(job.status.workers) if job.status.workers else ""),
        ("note", note(job, now)),
    ]
    lines = [f"{job.title} in namespace {job.namespace}: {_phase(job, now)}"]
    lines += [f"  {name:<9} {text}" for name, text in rows if text]
    shown = [one for one in job.status.conditions if _matters(one, ended=outcome(job) is not None)]
    if shown:
        wide = max(len(one.type) for one in shown)
        lines += ["", *(_condition(one, now, wide) for one in shown)]
    return lines


def progress(job: Job, now: datetime) -> str:
    """How far the work is, in one line; "" before there is any."""
    seen = job.status.progress
    if seen is None:
        return ""
    total = seen.samples_total or (job.status.plan.samples if job.status.plan else 0)
    share = f" ({100 * seen.samples_done // total} %)" if total else ""
    parts = [f"{seen.samples_done:,}/{total:,} samples{share}"]
    if job.status.plan:
        parts.append(f"{seen.chunks_committed:,}/{job.status.plan.chunks:,} chunks")
    running = outcome(job) is None
    if running and seen.samples_per_second is not None:
        parts.append(f"{seen.samples_per_second:,.{0 if seen.samples_per_second >= 10 else 1}f}/s")
    if seen.errors:
        parts.append(f"{seen.errors:,} error{'s' * (seen.errors != 1)}")
    if running and seen.eta is not None and seen.samples_done < total and seen.eta > now:
        parts.append(f"{duration((seen.eta - now).total_seconds())} left")
    return "  ".join(parts)


def bar(job: Job) -> str:
    """The share of committed samples, drawn."""
    seen = job.status.progress
    full = int(_BAR * seen.samples_done / seen.samples_total) if seen and seen.samples_total else 0
    return "█" * min(full, _BAR) + "░" * (_BAR - min(full, _BAR))


def workers(seen: WorkersStatus) -> str:
    """Work pods by state, the states without pods left out."""
    counts = {
        "running": seen.active,
        "waiting": seen.waiting,
        "succeeded": seen.succeeded,
        "failed": seen.failed,
        "preempted": seen.preempted,
    }
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count) or "none"


def note(job: Job, now: datetime) -> str:
    """What a person should know now, or ""."""
    if job.deleting:
        return "It is being deleted."
    if job.status.phase is None:
        unnoticed = (now - job.created).total_seconds() > _UNNOTICED_SECONDS
        return (
            "No operator has looked at it; is Assay's operator running, and does it watch this namespace?" * unnoticed
        )
    return job.status.summary.note if job.status.summary else ""


def results_table(job: Job) -> Table:
    """The headline results, as `assay results` shows those of a run."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{job.name}: {job.model}"), box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("task", "metric", "value", "± stderr", "95 % interval", "n", "errors"):
        table.add_column(name, justify="left" if name in ("task", "metric") else "right", no_wrap=True)
    for row in job.status.results:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    return table


def after_results(job: Job) -> list[str]:
    """What stands below the table of a finished job."""
    lines = []
    if plan := job.status.plan:
        errors = job.status.progress.errors if job.status.progress else 0
        lines.append(f"{plan.samples:,} samples, {errors:,} errors; plan {short(plan.digest)}")
    if omitted := job.status.results_omitted:
        lines.append(f"{omitted:,} more {'rows are' if omitted > 1 else 'row is'} in results.json only")
    if job.status.results_uri:
        lines.append(f"results: {job.status.results_uri}")
        lines.append(f"report: {job.status.results_uri.removesuffix(layout.RESULTS)}{layout.REPORT}")
    return lines


def words(condition: Condition) -> str:
    """What a condition says; "" when it says no more than its type does."""
    return condition.message or (condition.reason if condition.reason != condition.type else "")


def short(digest: str) -> str:
    """The first characters of a digest."""
    return digest.removeprefix("sha256:")[:12]


def _phase(job: Job, now: datetime) -> str:
    phase, status = job.status.phase or "Pending", job.status
    if status.completion_time:
        ago = f"{duration((now - status.completion_time).total_seconds())} ago"
        if status.start_time:
            return f"{phase} after {duration((status.completion_time - status.start_time).total_seconds())}, {ago}"
        return f"{phase}, {ago}"
    since = status.start_time or job.created
    return f"{phase} for {duration(max(0.0, (now - since).total_seconds()))}"


def _tasks(job: Job) -> str:
    names = [str(task.get("name", "?")) for task in job.spec.get("tasks", [])]
    more = f" and {len(names) - _TASKS} more" if len(names) > _TASKS else ""
    return ", ".join(names[:_TASKS]) + more


def _plan(job: Job) -> str:
    plan = job.status.plan
    return f"{plan.samples:,} samples in {plan.chunks:,} chunks, digest {short(plan.digest)}" if plan else ""


def _matters(condition: Condition, *, ended: bool) -> bool:
    """Whether a person need see it: all that holds or is unknown, gates that did not pass, and of the rest what is still to
    come and says why."""
    if condition.status == "False" and condition.type != "GatesPassed":
        return not ended and bool(condition.message) and condition.type not in _CALM_WHEN_FALSE
    return True


def _condition(condition: Condition, now: datetime, wide: int) -> str:
    holds = {"True": "yes", "False": "no", "Unknown": "unknown"}[condition.status]
    age = duration(max(0.0, (now - condition.last_transition_time).total_seconds()))
    return f"  {condition.type:<{wide}}  {holds:<3}  {age + ' ago':<15}  {words(condition)}".rstrip()


def _cells(row: HeadlineResult) -> tuple[str, ...]:
    interval = "–"
    if row.ci_low is not None and row.ci_high is not None:
        interval = f"[{_number(row.ci_low)}, {_number(row.ci_high)}]"
    return row.task, row.metric, _number(row.value), _number(row.stderr), interval, f"{row.n:,}", f"{row.errors:,}"


def _number(text: str | None) -> str:
    """Four decimals, as everywhere; what is no number stays as it is."""
    try:
        number = float("nan" if text is None else text)
    except ValueError:
        return str(text)
    return "–" if math.isnan(number) else f"{number:.4f}"
