"""Metrics over several tasks: the mean of their values, or one estimate over all their documents."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay_runner.statistics import intervals
from assay_runner.statistics.aggregations import Aggregation
from assay_runner.statistics.estimate import DEFAULT_RESAMPLES, Estimate, estimate
from assay_runner.statistics.items import Item


def mean_of_tasks(parts: Sequence[Estimate], *, weight_by_size: bool) -> Estimate:
    """Σ w_t·v_t over tasks, with w_t = 1/T, or n_t/N where `weight_by_size`.

    Tasks are independent, so its standard error is √Σ w_t²·se_t² (propagation of errors) and its interval the normal
    one. A task without a value (or with several) leaves the group without one, for a mean of the others would be of
    another group; a task without a standard error leaves it without an interval. `n` counts all documents; `clusters`
    all clusters, where every task has them.
    """
    n = sum(part.n for part in parts)
    clusters = [part.clusters for part in parts if part.clusters is not None]
    count = sum(clusters) if clusters and len(clusters) == len(parts) else None
    values = [part.value for part in parts if isinstance(part.value, float)]
    if not parts or len(values) < len(parts):
        return Estimate(None, None, None, None, "none", n, count)
    weights = [part.n / n if weight_by_size else 1 / len(parts) for part in parts]
    value = math.fsum(weight * part for weight, part in zip(weights, values, strict=True))
    errors = [part.stderr for part in parts if part.stderr is not None]
    if len(errors) < len(parts):
        return Estimate(value, None, None, None, "none", n, count)
    shares = [weight * error for weight, error in zip(weights, errors, strict=True)]
    stderr = math.sqrt(math.fsum(share * share for share in shares))
    if not stderr:
        return Estimate(value, stderr, None, None, "none", n, count)
    low, high = intervals.normal_interval(value, stderr)
    return Estimate(value, stderr, low, high, "normal", n, count)


def pooled(
    parts: Sequence[tuple[Sequence[Item], Sequence[str] | None]],
    aggregation: Aggregation,
    seed: int,
    resamples: int = DEFAULT_RESAMPLES,
    *,
    metric: str | None = None,
) -> Estimate:
    """One estimate over the documents of all tasks; `parts` are (items, clusters) per task, in the group's order.

    Clusters of different tasks are different clusters, whatever they are called; the documents of a task without
    clusters are independent.

    Raises:
        AggregationError: an item is of the wrong type, or the user's function failed.
        ValueError: a task has not as many clusters as items.
    """
    items = [item for part, _ in parts for item in part]
    if all(clusters is None for _, clusters in parts):
        return estimate(items, aggregation, None, seed, resamples, metric=metric)
    names: list[str] = []
    for task, (part, clusters) in enumerate(parts):
        within = [f"document {i}" for i in range(len(part))] if clusters is None else clusters
        names += [f"{task}/{name}" for name in within]
    return estimate(items, aggregation, names, seed, resamples, metric=metric)
