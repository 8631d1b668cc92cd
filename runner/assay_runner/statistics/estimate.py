"""An estimate: the value of a metric with its standard error and 95 % interval, by the method that fits its items.

What cannot be said is None, never NaN: no items have no value, one document or one cluster has no standard error, and
items without any spread have no interval (but zeros and ones, for which Wilson's holds).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from assay_runner.statistics import bootstrap, exact, intervals
from assay_runner.statistics.aggregations import Aggregation, Mean, Totals, Value, Whole
from assay_runner.statistics.items import AggregationError, Item, ItemError
from assay_runner.statistics.percentiles import quantile
from assay_runner.statistics.units import Clusters, numbered

Method: TypeAlias = Literal["wilson", "t", "clustered-t", "bootstrap", "cluster-bootstrap", "normal", "none"]

DEFAULT_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and how sure it is; `n` documents in `clusters` clusters (None: independent documents)."""

    value: Value
    stderr: float | None
    ci_low: float | None
    ci_high: float | None
    method: Method
    """How the interval was made; `none` without one."""
    n: int
    clusters: int | None = None


def estimate(
    items: Sequence[Item],
    aggregation: Aggregation,
    clusters: Clusters | None,
    seed: int,
    resamples: int = DEFAULT_RESAMPLES,
    *,
    metric: str | None = None,
) -> Estimate:
    """The value of `aggregation` over `items` with its uncertainty.

    Args:
        items: one per document, in document order.
        aggregation: built-in (`aggregations.get`) or `aggregations.custom`.
        clusters: for each item what its cluster is called; None when documents are independent.
        seed: start of the bootstrap's random stream, 0 ≤ seed < 2³² (`seeds.derive_seed`); no part in means.
        resamples: of the bootstrap; fewer for slow aggregations (`bootstrap.resamples_of_slow`); 0 for no bootstrap,
            for functions that must not be called more than once.
        metric: the name for messages; default: the aggregation's.

    Raises:
        AggregationError: an item is of the wrong type, or the user's function failed on the items.
        ValueError: there are not as many clusters as items.
    """
    if clusters is not None and len(clusters) != len(items):
        raise ValueError(f"{len(items)} items have {len(clusters)} clusters")
    try:
        if isinstance(aggregation, Mean):
            return of_numbers(aggregation.values(items), clusters)
        if isinstance(aggregation, Totals):
            return _of_totals(items, aggregation, clusters, seed, resamples)
        return _of_whole(items, aggregation, clusters, seed, resamples)
    except ItemError as error:
        raise AggregationError(metric or aggregation.name, str(error)) from error


def of_numbers(values: Sequence[float | None] | NDArray[np.float64], clusters: Clusters | None = None) -> Estimate:
    """The mean of finite numbers, one per document, with its standard error and interval; those that are None (NaN in an
    array) are left out."""
    every = np.asarray(values, dtype=np.float64)
    kept = ~np.isnan(every)
    scores, n = every[kept], int(kept.sum())
    groups, count = (None, None) if clusters is None else numbered(numbered(clusters)[0][kept])
    if not n:
        return Estimate(None, None, None, None, "none", 0, count)
    value, constant = exact.mean(scores), bool((scores == scores[0]).all())
    # Clusters of one document each are independent documents.
    grouped = groups is not None and count != n
    trials = n if count is None else count
    stderr = None if trials < 2 else 0.0 if constant else _stderr(scores, groups if grouped else None)
    binary = bool(((scores == 0) | (scores == 1)).all())
    if binary and (not grouped or (constant and trials > 1)):
        # Constant clusters: at worst the documents of one say the same thing, so there are as many trials as clusters.
        low, high = intervals.wilson_interval(value, trials)
        return Estimate(value, stderr, low, high, "wilson", n, count)
    if not stderr:
        return Estimate(value, stderr, None, None, "none", n, count)
    low, high = intervals.t_interval(value, stderr, trials - 1)
    if binary:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(value, stderr, low, high, "clustered-t" if grouped else "t", n, count)


def _stderr(scores: NDArray[np.float64], groups: NDArray[np.int64] | None) -> float:
    if groups is None:
        return intervals.standard_error(scores)
    return intervals.clustered_standard_error(scores, groups)


def _of_totals(
    items: Sequence[Item], aggregation: Totals, clusters: Clusters | None, seed: int, resamples: int
) -> Estimate:
    if clusters is None and aggregation.units is not None:
        clusters = aggregation.units(items)
    rows = aggregation.rows(items)
    value = aggregation.of_rows(rows)
    units, count = _units(items, clusters)
    if value is None or units.max() < 1 or not resamples:
        return Estimate(value, None, None, None, "none", len(items), count)
    draws = bootstrap.of_totals(aggregation, rows, units, seed, resamples)
    return _of_draws(value, draws, len(items), count)


def _of_whole(
    items: Sequence[Item], aggregation: Whole, clusters: Clusters | None, seed: int, resamples: int
) -> Estimate:
    texts = [json.dumps(item) for item in items]
    value = aggregation.of_json(texts)
    units, count = _units(items, clusters)
    nothing = Estimate(value, None, None, None, "none", len(items), count)
    if not isinstance(value, float) or units.max() < 1 or not resamples:
        return nothing
    draws: list[float | None] = []
    try:
        # A function that keeps state between calls, or that cannot work on resamples, has a value but no bootstrap.
        if aggregation.of_json(texts) != value:
            return nothing
        slow = bootstrap.resamples_of_slow(len(items), resamples)
        for draw in bootstrap.of_whole(aggregation, texts, units, seed, slow):
            draws.append(draw if isinstance(draw, float) else None)
    except AggregationError:
        return nothing
    return _of_draws(value, draws, len(items), count)


def _units(items: Sequence[Item], clusters: Clusters | None) -> tuple[NDArray[np.int64], int | None]:
    return (np.arange(len(items)), None) if clusters is None else numbered(clusters)


def _of_draws(value: float, draws: Sequence[float | None], n: int, clusters: int | None) -> Estimate:
    # Resamples in which the value is undefined say nothing; with too many of them the others would mislead.
    defined = sorted(draw for draw in draws if draw is not None)
    if len(defined) < 2 or len(defined) < len(draws) * 0.95:
        return Estimate(value, None, None, None, "none", n, clusters)
    if defined[0] == defined[-1]:
        return Estimate(value, 0.0, None, None, "none", n, clusters)
    center = exact.mean(defined)
    stderr = math.sqrt(math.fsum((draw - center) * (draw - center) for draw in defined) / (len(defined) - 1))
    method: Method = "bootstrap" if clusters is None else "cluster-bootstrap"
    return Estimate(value, stderr, quantile(defined, 0.025), quantile(defined, 0.975), method, n, clusters)
