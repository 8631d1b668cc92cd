"""Metrics over several tasks, as their group's file asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay_api.errors import SpecError
from assay_api.plan import GroupPlan, Plan
from assay_api.results import GroupResult, MetricResult, TaskResult
from assay_runner.reduce.metric_result import metric_result
from assay_runner.statistics.estimate import Estimate
from assay_runner.statistics.group import mean_of_tasks


def group_results(plan: Plan, tasks: Sequence[TaskResult]) -> Iterator[GroupResult]:
    """The result of every group of the plan, in its order.

    Raises:
        SpecError: a group asks for a metric that one of its tasks does not have, or for an unknown aggregation.
    """
    by_name = {task.task: task for task in tasks}
    for group in plan.groups:
        members = [by_name[name] for name in group.tasks]
        metrics = tuple(metric for wanted in group.metrics for metric in _metrics(group, wanted, members))
        yield GroupResult(group=group.name, tasks=group.tasks, metrics=metrics)


def _metrics(group: GroupPlan, wanted: dict[str, object], members: Sequence[TaskResult]) -> Iterator[MetricResult]:
    name = str(wanted["metric"])
    filters = wanted.get("filter_list") or _filters(name, members)
    for filtered in [filters] if isinstance(filters, str) else list(filters):  # type: ignore[call-overload]
        parts = [_member(group, name, str(filtered), member) for member in members]
        estimated = mean_of_tasks(
            [_estimate(part) for part in parts], weight_by_size=bool(wanted.get("weight_by_size"))
        )
        yield metric_result(name, str(filtered), parts[0].higher_is_better, estimated)


def _filters(name: str, members: Sequence[TaskResult]) -> list[str]:
    return list(
        dict.fromkeys(metric.filter for member in members[:1] for metric in member.metrics if metric.metric == name)
    ) or ["none"]


def _member(group: GroupPlan, name: str, filtered: str, member: TaskResult) -> MetricResult:
    for metric in member.metrics:
        if (metric.metric, metric.filter) == (name, filtered):
            return metric
    has = ", ".join(sorted({f"{metric.metric} ({metric.filter})" for metric in member.metrics}))
    raise SpecError(
        f"group {group.name}",
        "aggregate_metric_list",
        f"task {member.task} has no metric {name} ({filtered})",
        f"it has {has}",
    )


def _estimate(metric: MetricResult) -> Estimate:
    return Estimate(metric.value, metric.stderr, metric.ci_low, metric.ci_high, "none", metric.n, metric.clusters)
