"""What a report is made of besides samples, and the tables that follow from it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from assay_api.base import sha256
from assay_api.layout import ChunkId
from assay_api.plan import Plan, TaskPlan
from assay_api.results import MetricResult, Results, RunReport, TaskResult
from assay_api.verdicts import Gates
from assay_runner.report import charts
from assay_runner.report.axis import ticks


@dataclass(frozen=True, slots=True)
class Facts:
    """A reduced run."""

    plan: Plan
    results: Results
    """What came out; with a refusal, what would have."""
    run: RunReport
    refusal: str | None
    """Why no results were written; None when they were."""
    records: Mapping[ChunkId, str]
    """Chunk → SHA-256 of its committed record file, in plan order."""
    address: str
    """The run's, without where its storage is: `<namespace>/<name>/<id>`."""
    gates: Gates | None = None
    """The verdicts, where the plan has gates and there are results."""


@dataclass(frozen=True, slots=True)
class Score:
    """One number of the results as a line of a table."""

    name: str
    alias: str
    metric: str
    result: MetricResult
    value: float | None
    """The result's, or that part of it which the line is about."""
    whole: Markup | None
    near: Markup | None
    axis: tuple[float, float] | None
    zoom: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of one task was scored."""

    task: TaskResult
    errors: int
    bar: Markup


@dataclass(frozen=True, slots=True)
class Digests:
    """What pins one task's numbers, with the command that gives the digest of its records again."""

    task: TaskPlan
    records: str
    command: str


def scores(results: Results) -> tuple[list[Score], list[Score]]:
    """The lines of tasks and of groups. Equal metrics share an axis."""
    tasks = [(task.task, task.alias or task.task, metric) for task in results.tasks for metric in task.metrics]
    groups = [(group.group, group.group, metric) for group in results.groups for metric in group.metrics]
    lines = [(name, alias, metric, *part) for name, alias, metric in [*tasks, *groups] for part in _parts(metric)]
    spans: dict[str, list[float]] = {}
    for _, _, metric, label, value in lines:
        spans.setdefault(label, []).extend(at for at in (value, *_interval(metric)) if at is not None)
    made = [_score(name, alias, metric, label, value, spans[label]) for name, alias, metric, label, value in lines]
    count = sum(1 for _, _, metric in tasks for _ in _parts(metric))
    return made[:count], made[count:]


def _parts(metric: MetricResult) -> Iterator[tuple[str, float | None]]:
    if not isinstance(metric.value, Mapping):
        yield metric.metric, metric.value
        return
    for part, value in metric.value.items():
        yield f"{metric.metric}.{part}", value


def _interval(metric: MetricResult) -> tuple[float | None, float | None]:
    return (None, None) if isinstance(metric.value, Mapping) else (metric.ci_low, metric.ci_high)


def _score(
    name: str, alias: str, metric: MetricResult, label: str, value: float | None, span: Sequence[float]
) -> Score:
    if value is None:
        return Score(name, alias, label, metric, None, None, None, None, None)
    low, high = _interval(metric)
    words = charts.said(f"{alias}, {label}", value, low, high)
    share = min(span) >= 0 and max(span) <= 1
    axis = (0.0, 1.0) if share else _round(min(span), max(span))
    room = (max(span) - min(span)) * 0.1 or abs(value) * 0.01 or 0.01
    zoom = (min(span) - room, max(span) + room)
    zoom = (max(zoom[0], 0.0), min(zoom[1], 1.0)) if share else zoom
    whole, near = (charts.interval(value, low, high, one, words) for one in (axis, zoom))
    return Score(name, alias, label, metric, value, whole, near, axis, zoom)


def _round(low: float, high: float) -> tuple[float, float]:
    """Round ends of an axis; it begins at zero when everything is on one side of it."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = ticks(low, high)
    width = step[1] - step[0] if len(step) > 1 else 1.0
    return (step[0] - width * (step[0] > low), step[-1] + width * (step[-1] < high))


def coverage(results: Results) -> list[Covered]:
    """One line per task."""
    found = []
    for task in results.tasks:
        errors = sum(task.errors.values())
        parts = [("scored", "scored", task.samples - errors), ("failed", "errors", errors)]
        words = f"{task.alias or task.task}: {task.samples - errors:,} scored, {errors:,} errors"
        found.append(Covered(task, errors, charts.shares(parts, words)))
    return found


def digests(facts: Facts) -> list[Digests]:
    """One line per task."""
    found = []
    for task in facts.plan.tasks:
        lines = "".join(
            f"{chunk.task} {chunk.index} {digest}\n"
            for chunk, digest in facts.records.items()
            if chunk.task == task.name
        )
        markers = shlex.quote(f"chunks/{task.name}")
        command = f"jq -r '\"\\(.task) \\(.chunk) \\(.sha256)\"' {markers}/*.commit | sha256sum"
        found.append(Digests(task, sha256(lines.encode()), command))
    return found


def judged(plan: Plan, results: Results) -> list[dict[str, Any]]:
    """What the sample table must know of each task: its name, and its metrics by their key in the records."""
    made = []
    for task, planned in zip(results.tasks, plan.tasks, strict=True):
        higher: dict[str, bool] = {}
        for metric in task.metrics:
            name = metric.metric.rpartition(":")[0] if planned.repeats > 1 else ""
            key = name or metric.metric
            higher.setdefault(key if metric.filter == "none" else f"{key},{metric.filter}", metric.higher_is_better)
        made.append({"name": task.task, "metrics": [{"key": key, "higher": up} for key, up in higher.items()]})
    return made


def when(run: RunReport) -> str | None:
    """The day and minute at which the work began."""
    if run.timeline is None:
        return None
    try:
        return datetime.fromtimestamp(run.timeline.start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return None
