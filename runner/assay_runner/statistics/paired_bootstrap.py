"""The difference of two values that are no means, such as two word error rates: a paired bootstrap.

Documents, or whole clusters, are drawn with replacement, the same ones for both models, and both values are computed
again. The spread of their differences is the standard error; interval and p-value come from Student's t distribution with
the degrees of freedom that the sizes of the clusters leave. A percentile interval would be too short for few documents,
and its p-value could never be less than one resample in all.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay_runner.statistics import bootstrap, exact, intervals
from assay_runner.statistics.aggregations import Totals, Value, Whole
from assay_runner.statistics.items import AggregationError, Item, ItemError
from assay_runner.statistics.paired import Difference, satterthwaite_degrees

Draws = Iterator[tuple[Value, Value]]


@dataclass(frozen=True, slots=True)
class Resampled:
    """Both values, and their difference where they are single numbers."""

    value_a: Value
    value_b: Value
    difference: Difference
    problem: str | None
    """Why there is no error, as a clause; None when there is one."""


def resampled_difference(
    a: Sequence[Item],
    b: Sequence[Item],
    aggregation: Totals | Whole,
    clusters: Sequence[str] | None,
    seed: int,
    resamples: int,
    *,
    metric: str,
) -> Resampled:
    """B's value minus A's, over items of the same documents in the same order.

    Args:
        clusters: for each item the name of its cluster; None when documents are independent.
        seed: start of the random stream, 0 ≤ seed < 2³².
        resamples: how many; fewer for slow aggregations (`bootstrap.resamples_of_slow`).
        metric: the name for messages.

    Raises:
        AggregationError: an item is of the wrong type, or the user's function failed on the items.
    """
    try:
        if isinstance(aggregation, Totals):
            return _of_totals(a, b, aggregation, clusters, seed, resamples)
        return _of_whole(a, b, aggregation, clusters, seed, resamples)
    except ItemError as error:
        raise AggregationError(metric, str(error)) from error


def _of_totals(
    a: Sequence[Item],
    b: Sequence[Item],
    aggregation: Totals,
    clusters: Sequence[str] | None,
    seed: int,
    resamples: int,
) -> Resampled:
    if clusters is None and aggregation.units is not None:
        clusters = aggregation.units(a)
    rows_a, rows_b = aggregation.rows(a), aggregation.rows(b)

    def draws(units: NDArray[np.int64]) -> Draws:
        # The same seed and units: the same documents are drawn for both.
        first, second = (bootstrap.of_totals(aggregation, rows, units, seed, resamples) for rows in (rows_a, rows_b))
        return zip(first, second, strict=True)

    same = list(map(tuple, rows_a)) == list(map(tuple, rows_b))
    return _resampled(aggregation.of_rows(rows_a), aggregation.of_rows(rows_b), len(a), clusters, draws, same=same)


def _of_whole(
    a: Sequence[Item],
    b: Sequence[Item],
    aggregation: Whole,
    clusters: Sequence[str] | None,
    seed: int,
    resamples: int,
) -> Resampled:
    texts_a, texts_b = [json.dumps(item) for item in a], [json.dumps(item) for item in b]
    value_a, value_b = aggregation.of_json(texts_a), aggregation.of_json(texts_b)

    def draws(units: NDArray[np.int64]) -> Draws:
        if aggregation.of_json(texts_a) != value_a:
            raise AggregationError(aggregation.name, "it gives another value when called again")
        slow = bootstrap.resamples_of_slow(len(a), resamples)
        first, second = (bootstrap.of_whole(aggregation, texts, units, seed, slow) for texts in (texts_a, texts_b))
        return zip(first, second, strict=True)

    return _resampled(value_a, value_b, len(a), clusters, draws, same=texts_a == texts_b)


def _resampled(
    value_a: Value,
    value_b: Value,
    n: int,
    clusters: Sequence[str] | None,
    draws: Callable[[NDArray[np.int64]], Draws],
    *,
    same: bool,
) -> Resampled:
    names = [str(place) for place in range(n)] if clusters is None else clusters
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    count = None if clusters is None else len(places)

    def without_error(problem: str) -> Resampled:
        return Resampled(value_a, value_b, bare, problem)

    if not isinstance(value_a, float) or not isinstance(value_b, float):
        bare = Difference(n, count, None, None, None)
        several = isinstance(value_a, dict) or isinstance(value_b, dict)
        return without_error("the aggregation gives several numbers" if several else "a run has no value for it")
    bare = Difference(n, count, value_a, value_b, value_b - value_a)
    if same and value_a == value_b:
        return Resampled(value_a, value_b, replace(bare, stderr=0.0, p_value=1.0, method="identical"), None)
    if len(places) < 2:
        return without_error("one question, or one cluster, has no spread")
    units = np.array([places[name] for name in names], dtype=np.int64)
    try:
        drawn = list(draws(units))
    except AggregationError as error:
        return without_error(f"the aggregation cannot be resampled: {error.problem}")
    deltas = [after - before for before, after in drawn if isinstance(before, float) and isinstance(after, float)]
    # Resamples in which a value is undefined say nothing; with too many of them the others would mislead.
    if len(deltas) < 2 or len(deltas) < len(drawn) * 0.95:
        return without_error("the aggregation has no value in too many resamples")
    stderr = _spread(deltas, len(places))
    if stderr <= max(map(abs, deltas)) * 1e-12:
        return without_error("all resamples differ by the same")
    degrees = _degrees(units.tolist())
    center = value_b - value_a
    low, high = intervals.t_interval(center, stderr, degrees)
    found = replace(
        bare,
        stderr=stderr,
        degrees=degrees,
        ci_low=low,
        ci_high=high,
        p_value=intervals.t_p_value(center / stderr, degrees),
        method="bootstrap" if clusters is None else "cluster-bootstrap",
    )
    return Resampled(value_a, value_b, found, None)


def _spread(deltas: Sequence[float], units: int) -> float:
    """Their standard deviation · √(G / (G − 1)): of a mean, whose resamples vary by (G − 1)/G of its squared error, it is
    the usual standard error."""
    center = exact.mean(deltas)
    squares = math.fsum((delta - center) * (delta - center) for delta in deltas)
    return math.sqrt(squares / (len(deltas) - 1) * units / (units - 1))


def _degrees(units: Sequence[int]) -> float:
    return satterthwaite_degrees([size / len(units) for size in Counter(units).values()])
