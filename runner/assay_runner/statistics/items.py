"""Items: the plain JSON that one document contributes to one metric, and how aggregations read it.

An item that an aggregation cannot use is an error with the item's place and what was expected there: it is never
counted as zero and never left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from assay_api.errors import EXIT_SPEC, AssayError

Item: TypeAlias = Any
"""JSON data: number, boolean, string, None, list or mapping. Tuples are read as lists."""

_LARGEST = 1e150


class AggregationError(AssayError):
    """A metric cannot be computed from its items: the task that produced them, or its aggregation, is wrong."""

    exit_code = EXIT_SPEC

    def __init__(self, metric: str, problem: str) -> None:
        self.metric, self.problem = metric, problem
        super().__init__(f"Metric {metric} cannot be aggregated: {problem}.")


class ItemError(ValueError):
    """One item is not what the aggregation works on; the message says which and what was expected, without a full
    stop."""

    def __init__(self, index: int, item: Item, expected: str) -> None:
        shown = repr(item)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(f"item {index} is {shown}, but this aggregation takes {expected}")


def finite(value: Item) -> bool:
    """Whether `value` is a number (or boolean) whose squares can be summed in floats."""
    return isinstance(value, (int, float)) and -_LARGEST <= value <= _LARGEST


def number(item: Item, index: int) -> float:
    """A finite number; booleans count as 0 and 1.

    Raises:
        ItemError: it is something else.
    """
    if not finite(item):
        raise ItemError(index, item, "finite numbers (a dict or text needs an aggregation of its own)")
    return float(item)


def numbers(items: Sequence[Item]) -> NDArray[np.float64]:
    """All items as finite numbers, in order; those of an `array` without looking at each.

    Raises:
        ItemError: one is something else.
    """
    if not isinstance(items, array):
        return np.array([number(item, index) for index, item in enumerate(items)], dtype=np.float64)
    values = np.array(items, dtype=np.float64)
    outside = ~(np.abs(values) <= _LARGEST)
    if outside.any():
        index = int(outside.argmax())
        number(items[index], index)
    return values


def pair(item: Item, index: int, names: Sequence[str], expected: str) -> tuple[Any, Any]:
    """Two parts of an item: a list of two, or a mapping with the first of `names` and one of the others.

    Raises:
        ItemError: it is something else.
    """
    if isinstance(item, (list, tuple)) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, Mapping) and names[0] in item:
        for name in names[1:]:
            if name in item:
                return item[names[0]], item[name]
    raise ItemError(index, item, expected)


def counted(item: Item, index: int, names: Sequence[str], expected: str) -> tuple[float, float]:
    """A pair (see `pair`) of finite numbers of which the second is not negative.

    Raises:
        ItemError: it is something else.
    """
    first, second = pair(item, index, names, expected)
    if not finite(first) or not finite(second) or second < 0:
        raise ItemError(index, item, expected)
    return float(first), float(second)
