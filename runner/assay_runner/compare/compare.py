"""Compares two finished runs: may they be, what are the pairs, what do they say."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay_api.comparison import Comparison, GroupComparison, MetricComparison, TaskComparison
from assay_runner.compare.comparable import common_tasks, notes
from assay_runner.compare.finished import FinishedRun
from assay_runner.compare.groups import common_groups, group_rows
from assay_runner.compare.pairs import TaskPairs, pair
from assay_runner.compare.rows import Row, task_rows
from assay_runner.compare.verdict import judge
from assay_runner.tasks.bundle import fetch
from assay_runner.tasks.task import Task


@dataclass(frozen=True, slots=True)
class ComparedTask:
    """One task of both runs."""

    alias: str | None
    pairs: TaskPairs
    """Without its columns."""
    rows: list[Row]


def compare_runs(a: FinishedRun, b: FinishedRun) -> Comparison:
    """B against the baseline A.

    Raises:
        Incomparable: the runs differ in more than the model, or have no task in common.
        Corrupt: records are gone or changed, or a run's results are not what its records give.
        AggregationError: a metric cannot be computed from its items.
        SpecError: a task's files are not the planned ones.
    """
    tasks = common_tasks(a.plan, b.plan)
    groups, about_groups = common_groups(a.plan, b.plan)
    groups = [group for group in groups if set(group.tasks) <= set(tasks)]
    found = compare_tasks(a, b, tasks)
    rows = {name: task.rows for name, task in found.items()}
    of_groups = {group.name: list(group_rows(group, rows)) for group in groups}
    grouped = {task for group in groups if of_groups[group.name] for task in group.tasks}
    listed = [(row, name, name not in grouped and i == 0) for name in tasks for i, row in enumerate(rows[name])]
    listed += [(row, group.name, True) for group in groups for row in of_groups[group.name]]
    judged = iter(judge(listed))

    def take(rows: list[Row]) -> tuple[MetricComparison, ...]:
        return tuple(next(judged) for _ in rows)

    return Comparison(
        a=a.summary(),
        b=b.summary(),
        tasks=tuple(
            TaskComparison(
                task=name,
                alias=task.alias,
                documents=a.plan.task(name).documents,
                errors_a=task.pairs.errors_a,
                errors_b=task.pairs.errors_b,
                asked_differently=task.pairs.asked_differently,
                metrics=take(task.rows),
            )
            for name, task in found.items()
        ),
        groups=tuple(
            GroupComparison(group=group.name, tasks=group.tasks, metrics=take(of_groups[group.name]))
            for group in groups
        ),
        notes=(*notes(a.plan, b.plan, tasks), *about_groups, *about_records(found)),
    )


def compare_tasks(a: FinishedRun, b: FinishedRun, tasks: Sequence[str]) -> dict[str, ComparedTask]:
    """The rows of tasks that are the same in both runs.

    Raises:
        Corrupt, AggregationError, SpecError: as `compare_runs`.
    """
    scratch = Path(tempfile.mkdtemp(prefix="assay-compare-"))
    try:
        loaded = {name: _load(a, name, scratch) for name in tasks}
        return {name: _task(a, b, name, loaded[name]) for name in tasks}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def about_records(found: Mapping[str, ComparedTask]) -> list[str]:
    """What the records say that should be known when reading the figures, in sentences."""
    said = []
    for name, task in found.items():
        pairs = task.pairs
        if pairs.asked_differently:
            said.append(
                f"Task {name}: {pairs.asked_differently:,} samples were asked with another prompt, target or choices "
                "in B than in A, as tasks with prompts per model do; the difference is then one of model and prompt."
            )
        if pairs.errors_a or pairs.errors_b:
            said.append(
                f"Task {name}: {pairs.errors_a:,} samples failed in A and {pairs.errors_b:,} in B; questions without a score "
                "in both runs are left out, which biases the difference if one model fails on the harder ones."
            )
    return said


def _load(run: FinishedRun, name: str, scratch: Path) -> Task:
    plan = run.plan.task(name)
    folder = fetch(run.root, plan.code, scratch) if plan.code else None
    return Task.load(plan, folder, run.plan.seed, run.plan.model.name)


def _task(a: FinishedRun, b: FinishedRun, name: str, task: Task) -> ComparedTask:
    plan = a.plan.task(name)
    pairs = pair(a.records(name), b.records(name), repeated=plan.repeats > 1)
    a.check(name, pairs.errors_a)
    b.check(name, pairs.errors_b)
    rows = list(task_rows(task.metrics, plan, pairs, a, b))
    # Items are the bulk of the memory, and one task's at a time are enough.
    pairs.columns.clear()
    return ComparedTask(task.alias, pairs, rows)
