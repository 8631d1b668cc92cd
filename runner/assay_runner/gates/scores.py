"""Which scores a plan will give, known before there are any: what a gate may be about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay_api.plan import GroupPlan, Plan
from assay_runner.statistics import repeats
from assay_runner.tasks.task import MetricSpec

Specs = Mapping[str, Sequence[MetricSpec]]
"""Task → its metrics."""


@dataclass(frozen=True, slots=True)
class Score:
    """One score of a task or group."""

    metric: str
    filter: str
    higher_is_better: bool


def tasks_of(plan: Plan, name: str) -> tuple[str, ...]:
    """The tasks behind the score of a task or group: itself, or its members; none when the plan has neither."""
    if any(task.name == name for task in plan.tasks):
        return (name,)
    return next((group.tasks for group in plan.groups if group.name == name and group.metrics), ())


def scores_of(plan: Plan, specs: Specs, name: str) -> list[Score]:
    """The scores of a task or group of the plan, in the order of the results."""
    if name in specs:
        k = plan.task(name).repeats
        return [
            Score(metric, spec.filter, spec.higher_is_better)
            for spec in specs[name]
            for metric in (_with_repeats(spec.metric, k) if k > 1 and not spec.per_document else [spec.metric])
        ]
    return [score for group in plan.groups if group.name == name for score in _of_group(group, specs)]


def metric_names(metric: str, k: int) -> tuple[str, ...]:
    """The names under which results may have a metric of a task with k answers per document: of one that has a number per
    answer, the plain name means the average."""
    return (metric, f"{metric}:avg@{k}") if k > 1 else (metric,)


def _with_repeats(metric: str, k: int) -> list[str]:
    """All that may come of it; the items decide what does."""
    passes = [f"{metric}:pass@{step}" for step in repeats.steps(k)]
    return [metric, f"{metric}:avg@{k}", *passes, f"{metric}:majority@{k}"]


def _of_group(group: GroupPlan, specs: Specs) -> Iterator[Score]:
    first = specs[group.tasks[0]]
    for wanted in group.metrics:
        metric, listed = str(wanted["metric"]), wanted.get("filter_list")
        members = [spec for spec in first if spec.metric == metric.partition(":")[0]]
        filters = [listed] if isinstance(listed, str) else listed or [spec.filter for spec in members]
        for filtered in filters:
            spec = next((spec for spec in members if spec.filter == filtered), None)
            yield Score(metric, str(filtered), spec.higher_is_better if spec else True)
