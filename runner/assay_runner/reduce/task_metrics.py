"""From a task's tally to its metrics: which items go through which aggregation, and what repeats add."""

from __future__ import annotations

from collections.abc import Iterator

from assay_api.results import MetricResult
from assay_runner.reduce.metric_result import metric_result
from assay_runner.reduce.tally import Documents, Items, TaskTally
from assay_runner.statistics import aggregations, repeats
from assay_runner.statistics.aggregations import Aggregation
from assay_runner.statistics.estimate import DEFAULT_RESAMPLES, Estimate, estimate
from assay_runner.statistics.items import AggregationError, finite
from assay_runner.statistics.seeds import derive_seed
from assay_runner.statistics.units import Clusters
from assay_runner.tasks.functions import generators_kept
from assay_runner.tasks.items import untagged
from assay_runner.tasks.task import MetricSpec, Task


def task_metrics(task: Task, tally: TaskTally, seed: int) -> tuple[MetricResult, ...]:
    """Every metric of the task, in the task file's order.

    Raises:
        AggregationError: items and aggregation do not fit, or the task's own aggregation failed.
    """
    return tuple(result for spec in task.metrics for result in _metric(spec, tally, seed))


def item_key(spec: MetricSpec) -> str:
    """The key under which records hold the metric's items."""
    return spec.metric if spec.filter == "none" else f"{spec.metric},{spec.filter}"


def aggregation_of(spec: MetricSpec) -> Aggregation:
    """What computes the metric's value from its items, as records hold them."""
    wanted = spec.aggregation
    if isinstance(wanted, str):
        return aggregations.get(wanted)
    return aggregations.custom(spec.metric, wanted, untagged)


def _metric(spec: MetricSpec, tally: TaskTally, seed: int) -> Iterator[MetricResult]:
    items = tally.items.get(item_key(spec)) or Items()
    if tally.plan.repeats > 1 and not spec.per_document:
        yield from _over_repeats(spec, items, tally, seed)
    else:
        yield _result(spec, spec.metric, _estimate(spec, items, tally.clusters(items), tally, seed))


def _over_repeats(spec: MetricSpec, items: Items, tally: TaskTally, seed: int) -> Iterator[MetricResult]:
    k = tally.plan.repeats
    documents = Documents(items, k)
    clusters = tally.clusters(items)
    if not all(map(finite, items.values)):
        # Corpus metrics have no value per sample: all samples count, and a document's repeats are one cluster.
        units = documents.of_items if clusters is None else clusters
        result = _result(spec, spec.metric, _estimate(spec, items, units, tally, seed))
        yield result.model_copy(update={"n": len(documents)})
        return
    names = None if clusters is None else clusters[documents.starts]
    values = documents.split(items.plain)
    yield _result(spec, f"{spec.metric}:avg@{k}", repeats.average(values, k, names).estimate)
    if all(item in (0, 1) for item in items.values):
        for step in repeats.steps(k):
            yield _result(spec, f"{spec.metric}:pass@{step}", repeats.pass_at(values, step, names).estimate)
    if all(ballot >= 0 for ballot in items.ballots):
        ballots = documents.split(items.ballots)
        votes = (list(zip(answers, scores, strict=True)) for answers, scores in zip(ballots, values, strict=True))
        yield _result(spec, f"{spec.metric}:majority@{k}", repeats.majority_at(votes, k, names).estimate)


def _estimate(spec: MetricSpec, items: Items, clusters: Clusters | None, tally: TaskTally, seed: int) -> Estimate:
    key = item_key(spec)
    try:
        start = derive_seed(seed, tally.plan.name, key)
        resamples = DEFAULT_RESAMPLES if spec.pure else 0
        with generators_kept():
            return estimate(items.plain, aggregation_of(spec), clusters, start, resamples, metric=key)
    except AggregationError as error:
        raise AggregationError(f"{tally.plan.name}: {key}", error.problem) from error


def _result(spec: MetricSpec, name: str, estimated: Estimate) -> MetricResult:
    return metric_result(name, spec.filter, spec.higher_is_better, estimated)
