"""Percentiles by linear interpolation, in plain Python so that a summary of a run needs no array library.

The rule is numpy's default ("linear", type 7 of Hyndman & Fan 1996), to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from assay_api.results import Percentiles


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the `ordered` (ascending, not empty) values lie.

    Raises:
        ValueError: there are no values, or `share` is outside 0 to 1.
    """
    if not ordered or not 0 <= share <= 1:
        raise ValueError(f"no quantile {share} of {len(ordered)} values")
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    weight = position - below
    # Interpolating from the nearer end keeps the result within [low, high] and equal to numpy's.
    return high - (high - low) * (1 - weight) if weight >= 0.5 else low + (high - low) * weight


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """The 50th, 90th and 99th percentile and the maximum, in the unit of `values`; None when there are none."""
    return percentiles_of_sorted(sorted(values))


def percentiles_of_sorted(ordered: Sequence[float]) -> Percentiles | None:
    """The same for values that ascend already."""
    if not ordered:
        return None
    return Percentiles(
        p50=quantile(ordered, 0.5), p90=quantile(ordered, 0.9), p99=quantile(ordered, 0.99), max=ordered[-1]
    )
