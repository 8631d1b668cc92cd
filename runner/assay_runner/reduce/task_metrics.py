"""From a task's tally to its metrics: which items go through which aggregation, and what repeats add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay_api.results import MetricResult
from assay_runner.reduce.metric_result import metric_result
from assay_runner.reduce.tally import Scored, TaskTally
from assay_runner.statistics import aggregations, repeats
from assay_runner.statistics.aggregations import Aggregation
from assay_runner.statistics.estimate import DEFAULT_RESAMPLES, Estimate, estimate
from assay_runner.statistics.items import AggregationError, finite
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks.items import from_plain
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


def _metric(spec: MetricSpec, tally: TaskTally, seed: int) -> Iterator[MetricResult]:
    scored = tally.items.get(item_key(spec), [])
    if tally.plan.repeats > 1 and not spec.per_document:
        yield from _over_repeats(spec, scored, tally, seed)
    else:
        yield _result(spec, spec.metric, _estimate(spec, scored, _clusters(scored, tally), tally, seed))


def _over_repeats(spec: MetricSpec, scored: Sequence[Scored], tally: TaskTally, seed: int) -> Iterator[MetricResult]:
    documents: dict[int, list[Scored]] = {}
    for one in scored:
        documents.setdefault(one.document, []).append(one)
    if not all(finite(one.item) for one in scored):
        # Corpus metrics have no value per sample: all samples count, and a document's repeats are one cluster.
        clusters = [tally.clusters.get(one.document, f"document {one.document}") for one in scored]
        result = _result(spec, spec.metric, _estimate(spec, scored, clusters, tally, seed))
        yield result.model_copy(update={"n": len(documents)})
        return
    k = tally.plan.repeats
    names = [tally.clusters[document] for document in documents] if tally.clusters else None
    values = [[one.item for one in samples] for samples in documents.values()]
    yield _result(spec, f"{spec.metric}:avg@{k}", repeats.average(values, k, names).estimate)
    if all(one.item in (0, 1) for one in scored):
        for step in repeats.steps(k):
            yield _result(spec, f"{spec.metric}:pass@{step}", repeats.pass_at(values, step, names).estimate)
    if all(one.answer is not None for one in scored):
        votes = [[(one.answer, one.item) for one in samples] for samples in documents.values()]
        yield _result(spec, f"{spec.metric}:majority@{k}", repeats.majority_at(votes, k, names).estimate)


def _clusters(scored: Sequence[Scored], tally: TaskTally) -> list[str] | None:
    return [tally.clusters[one.document] for one in scored] if tally.clusters else None


def _estimate(
    spec: MetricSpec, scored: Sequence[Scored], clusters: Sequence[str] | None, tally: TaskTally, seed: int
) -> Estimate:
    key = item_key(spec)
    items = [one.item for one in scored]
    try:
        start = derive_seed(seed, tally.plan.name, key)
        resamples = DEFAULT_RESAMPLES if spec.pure else 0
        return estimate(items, _aggregation(spec), clusters, start, resamples, metric=key)
    except AggregationError as error:
        raise AggregationError(f"{tally.plan.name}: {key}", error.problem) from error


def _aggregation(spec: MetricSpec) -> Aggregation:
    wanted = spec.aggregation
    if isinstance(wanted, str):
        return aggregations.get(wanted)
    return aggregations.custom(spec.metric, lambda items: wanted([from_plain(item) for item in items]))


def _result(spec: MetricSpec, name: str, estimated: Estimate) -> MetricResult:
    return metric_result(name, spec.filter, spec.higher_is_better, estimated)
