"""The scores of two runs side by side: both runs' records of a task are read in step, and only items are kept.

Both plans hold the same documents and repeats in the same order (`comparable`), however their chunks are cut, so the n-th
record of one belongs to the n-th of the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from assay_api.records import SampleRecord


class Absent:
    """The type of `ABSENT`."""


ABSENT: Final = Absent()
"""Stands for the item of a sample that failed, or that the metric leaves out; an item itself may be None."""


@dataclass(slots=True)
class Column:
    """The items of one metric: one place per sample that has an item in at least one of the runs, in planned order."""

    documents: array[int] = field(default_factory=lambda: array("q"))
    a: list[Any] = field(default_factory=list)
    b: list[Any] = field(default_factory=list)
    answers_a: list[str | None] = field(default_factory=list)
    """What the metric's filter kept, for majority votes; empty for tasks without repeats."""
    answers_b: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class TaskPairs:
    """What is kept of a task's records."""

    columns: dict[str, Column] = field(default_factory=dict)
    """Key of the item in the records (`metric` or `metric,filter`) → items."""
    clusters: dict[int, str] = field(default_factory=dict)
    """Document → cluster, for tasks with a cluster key."""
    errors_a: int = 0
    errors_b: int = 0
    """Failed samples."""
    failed_a: set[int] = field(default_factory=set)
    failed_b: set[int] = field(default_factory=set)
    """Documents with failed samples."""
    asked_differently: int = 0


def pair(a: Iterable[SampleRecord], b: Iterable[SampleRecord], *, repeated: bool) -> TaskPairs:
    """Read both runs' records of one task, in planned order each.

    Args:
        repeated: whether documents have several samples, whose answers are kept for majority votes.
    """
    pairs = TaskPairs()
    for first, second in zip(a, b, strict=True):
        _add(pairs, first, second, repeated=repeated)
    return pairs


def _add(pairs: TaskPairs, first: SampleRecord, second: SampleRecord, *, repeated: bool) -> None:
    assert first.id == second.id, "both plans hold the same samples"
    if first.error is not None:
        pairs.errors_a += 1
        pairs.failed_a.add(first.document)
    if second.error is not None:
        pairs.errors_b += 1
        pairs.failed_b.add(second.document)
    if first.error is None and second.error is None:
        asked = (first.prompt, first.target, first.choices)
        pairs.asked_differently += asked != (second.prompt, second.target, second.choices)
    # A sample that could not even be asked has no cluster in its record.
    cluster = second.cluster if first.cluster is None else first.cluster
    if cluster is not None:
        pairs.clusters[first.document] = cluster
    for key in [*first.items, *(key for key in second.items if key not in first.items)]:
        column = pairs.columns.setdefault(key, Column())
        column.documents.append(first.document)
        column.a.append(first.items.get(key, ABSENT))
        column.b.append(second.items.get(key, ABSENT))
        if repeated:
            filtered = key.partition(",")[2] or "none"
            column.answers_a.append(_answer(first, filtered))
            column.answers_b.append(_answer(second, filtered))


def _answer(record: SampleRecord, filtered: str) -> str | None:
    answer = record.filtered.get(filtered)
    return answer if answer is None or isinstance(answer, str) else str(answer)
