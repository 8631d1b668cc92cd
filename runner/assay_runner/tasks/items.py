"""Metric items as plain JSON and back: what a task's Python returns must survive the way to the reducer unchanged.

Numbers of numpy become Python's; tuples, infinities and NaN are tagged, so that an aggregation gets them as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assay_runner.tasks.errors import TaskError

_TUPLE, _FLOAT = "!tuple", "!float"


def to_plain(item: Any, metric: str) -> Any:
    """The item as JSON data.

    Raises:
        TaskError: it holds something that JSON cannot.
    """
    if item is None or isinstance(item, str | bool | int):
        return item
    if isinstance(item, float):
        return float(item) if math.isfinite(item) else {_FLOAT: repr(float(item))}
    if isinstance(item, tuple):
        return {_TUPLE: [to_plain(inner, metric) for inner in item]}
    if isinstance(item, list):
        return [to_plain(inner, metric) for inner in item]
    if isinstance(item, set | frozenset):
        return [to_plain(inner, metric) for inner in sorted(item, key=repr)]
    if isinstance(item, Mapping):
        return {str(key): to_plain(inner, metric) for key, inner in item.items()}
    if hasattr(item, "tolist"):
        return to_plain(item.tolist(), metric)
    raise TaskError("TaskError", f"the item of metric {metric} is a {type(item).__name__}, which cannot be recorded")


def from_plain(item: Any) -> Any:
    """The item as the task's Python returned it."""
    if isinstance(item, list):
        return [from_plain(inner) for inner in item]
    if isinstance(item, Mapping):
        if set(item) == {_TUPLE}:
            return tuple(from_plain(inner) for inner in item[_TUPLE])
        if set(item) == {_FLOAT}:
            return float(item[_FLOAT])
        return {key: from_plain(inner) for key, inner in item.items()}
    return item
