"""The bootstrap: how a value that is not a mean would vary with other documents (Efron & Tibshirani 1993, ch. 6 and
13).

Documents, or whole clusters of them, are drawn with replacement as often as there are, and the aggregation is computed
again. The draws come from `numpy.random.RandomState`, whose stream is frozen for good (NEP 19), and column sums of the
resamples are exact, so the same seed and items give the same bits everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from assay_runner.statistics.aggregations import Rows, Totals, Value, Whole
from assay_runner.statistics.units import members

_WORK = 2_000_000
"""Items that a slow aggregation is given in all resamples together."""
_FEWEST = 100


def resamples_of_slow(n: int, most: int) -> int:
    """How many resamples a `Whole` aggregation of `n` ≥ 1 items gets: a rule of n alone, so results never depend on
    speed."""
    return min(most, max(_FEWEST, _WORK // n))


def of_totals(
    aggregation: Totals, rows: Rows, units: NDArray[np.int64], seed: int, resamples: int
) -> list[float | None]:
    """The aggregation's value in each resample of whole units.

    Args:
        aggregation: gives the formula over column sums.
        rows: n×k numbers, one row per item.
        units: for each item the number of its unit; numbers run from 0 without gaps, in the order of first appearance.
        seed: start of the random stream, 0 ≤ seed < 2³².
        resamples: how many.
    """
    sums, scales = _on_grid(sums_of_units(np.asarray(rows, dtype=np.float64), units))
    count = len(sums)
    return [
        aggregation.of_sums([float(total) for total in (np.bincount(draw, minlength=count) @ sums) / scales])
        for draw in _draws(count, seed, resamples)
    ]


def of_whole(
    aggregation: Whole, items: Sequence[str], units: NDArray[np.int64], seed: int, resamples: int
) -> Iterator[Value]:
    """The same for a function of all items (as JSON texts). Items of a unit stay together and in order.

    Raises:
        AggregationError: the function failed on a resample.
    """
    held = [[items[place] for place in places] for places in members(units)]
    for draw in _draws(len(held), seed, resamples):
        # In the order of the documents: the function may count on it.
        yield aggregation.of_json([item for unit in np.sort(draw) for item in held[unit]])


def _draws(count: int, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    stream = np.random.RandomState(seed)
    for _ in range(resamples):
        yield stream.randint(0, count, size=count, dtype=np.int64)


def sums_of_units(rows: NDArray[np.float64], units: NDArray[np.int64]) -> NDArray[np.float64]:
    """One row per unit: the exact column sums of its items."""
    if int(units[-1]) == len(rows) - 1:
        return rows
    return np.array([[math.fsum(column) for column in rows[places].T.tolist()] for places in members(units)])


def _on_grid(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns as whole multiples of a power of two each, small enough that a float holds any sum of N rows exactly.

    Exact sums do not depend on the order in which a linear algebra library adds. Counts stay what they are; other sums
    are off by at most N·2⁻⁵¹ of what they can reach, far below what a resample varies by.
    """
    largest = np.abs(rows).max(axis=0)
    exponents = [math.frexp(len(rows) * float(top))[1] for top in largest]
    scales = np.array([2.0 ** min(51 - exponent, 1000) for exponent in exponents])
    return np.rint(rows * scales), scales
