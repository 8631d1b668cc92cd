"""Metric items as plain JSON and back: what a task's Python returns must survive the way to the reducer unchanged.

Numbers of numpy become Python's; tuples, infinities, NaN and mappings with keys that are no text are tagged, so that an
aggregation gets them as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assay_runner.tasks.errors import TaskError

_TUPLE, _FLOAT, _DICT = "!tuple", "!float", "!dict"


def to_plain(item: Any, metric: str, *, tags: bool = True) -> Any:
    """The item as JSON data. Without `tags`, for aggregations that read JSON themselves: tuples are lists, NaN is None.

    Raises:
        TaskError: it holds something that JSON cannot.
    """
    if item is None or isinstance(item, bool | int):
        return item
    if isinstance(item, str):
        if item.isascii():
            return item
        return item.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(item, float):
        if math.isfinite(item):
            return float(item)
        return {_FLOAT: repr(float(item))} if tags or not math.isnan(item) else None
    if isinstance(item, list | tuple):
        plain = [to_plain(inner, metric, tags=tags) for inner in item]
        return {_TUPLE: plain} if tags and isinstance(item, tuple) else plain
    if isinstance(item, set | frozenset):
        return [to_plain(inner, metric, tags=tags) for inner in sorted(item, key=repr)]
    if isinstance(item, Mapping):
        pairs = [(key, to_plain(inner, metric, tags=tags)) for key, inner in item.items()]
        if tags and any(not isinstance(key, str) or key.startswith("!") for key, _ in pairs):
            return {_DICT: [[to_plain(key, metric), value] for key, value in pairs]}
        return {str(key): value for key, value in pairs}
    if type(item).__module__ == "numpy":
        return to_plain(item.tolist(), metric, tags=tags)
    raise TaskError("TaskError", f"the item of metric {metric} is a {type(item).__name__}, which cannot be recorded")


def untagged(mapping: dict[str, Any]) -> Any:
    """What a mapping in a recorded item stands for, whose own values have been seen to: `object_hook` of `json.loads`."""
    if len(mapping) == 1:
        ((tag, value),) = mapping.items()
        if tag == _TUPLE:
            return tuple(value)
        if tag == _FLOAT:
            return float(value)
        if tag == _DICT:
            return dict(value)
    return mapping
