"""Groups of tasks in two runs: the difference of their means, where both runs have the same group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from assay_api.plan import GroupPlan, Plan
from assay_runner.compare.rows import Row
from assay_runner.statistics import intervals
from assay_runner.statistics.paired import Difference

Rows = Mapping[str, Sequence[Row]]
"""Task → its rows."""


def common_groups(a: Plan, b: Plan) -> tuple[list[GroupPlan], list[str]]:
    """The groups with metrics that both runs have alike, and a sentence about every other."""
    first, second = ({group.name: group for group in plan.groups if group.metrics} for plan in (a, b))
    alike, notes = [], []
    for name in sorted(first.keys() | second.keys(), key=[*first, *second].index):
        one, other = first.get(name), second.get(name)
        if one and other and sorted(one.tasks) == sorted(other.tasks) and one.metrics == other.metrics:
            alike.append(one)
        else:
            notes.append(f"Group {name} is not the same in both runs, so only its tasks are compared.")
    return alike, notes


def group_rows(group: GroupPlan, tasks: Rows) -> Iterator[Row]:
    """One row per metric that the group asks for."""
    for wanted in group.metrics:
        for filtered in _filters(wanted, tasks[group.tasks[0]]):
            parts = [_member(str(wanted["metric"]), filtered, tasks[task]) for task in group.tasks]
            if parts and all(part is not None for part in parts):
                members = [part for part in parts if part is not None]
                yield _row(members, weight_by_size=bool(wanted.get("weight_by_size")))


def mean_of_differences(parts: Sequence[Difference], *, weight_by_size: bool) -> Difference:
    """Σ w_t·d_t over tasks, with w_t = 1/T, or n_t/N where `weight_by_size`.

    Tasks are independent, so SE = √Σ w_t²·se_t², with the degrees of freedom of Welch (1947) and Satterthwaite (1946):
    (Σ w_t²·se_t²)² / Σ (w_t²·se_t²)²/df_t. A task without a difference leaves the group without one, a task without an error
    leaves it without an interval.
    """
    n = sum(part.n for part in parts)
    counts = [part.clusters for part in parts if part.clusters is not None]
    clusters = sum(counts) if counts and len(counts) == len(parts) else None
    weights = [(part.n / n if n else 0.0) if weight_by_size else 1 / len(parts) for part in parts]
    value_a, value_b, center = (
        _weighted(weights, [getattr(part, name) for part in parts]) for name in ("value_a", "value_b", "difference")
    )
    bare = Difference(n, clusters, value_a, value_b, center)
    if center is None:
        return bare
    if all(part.method == "identical" for part in parts):
        return replace(bare, stderr=0.0, p_value=1.0, method="identical")
    # A task in which all questions differ by the same has no error that could be known.
    if any(part.stderr is None or part.method == "sign" for part in parts):
        return bare
    squares = [(weight * (part.stderr or 0.0)) ** 2 for weight, part in zip(weights, parts, strict=True)]
    variance = math.fsum(squares)
    crossed = math.fsum(
        square * square / part.degrees for square, part in zip(squares, parts, strict=True) if part.degrees is not None
    )
    if not crossed:
        return bare
    stderr, degrees = math.sqrt(variance), variance * variance / crossed
    low, high = intervals.t_interval(center, stderr, degrees)
    p_value = intervals.t_p_value(center / stderr, degrees)
    return replace(
        bare, stderr=stderr, degrees=degrees, ci_low=low, ci_high=high, p_value=p_value, method="satterthwaite"
    )


def _weighted(weights: Sequence[float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(map(math.prod, zip(weights, known, strict=True))) if len(known) == len(weights) else None


def _row(members: Sequence[Row], *, weight_by_size: bool) -> Row:
    found = mean_of_differences([member.difference for member in members], weight_by_size=weight_by_size)
    return Row(
        metric=members[0].metric,
        filter=members[0].filter,
        higher_is_better=members[0].higher_is_better,
        value_a=found.value_a,
        value_b=found.value_b,
        difference=found,
        left_out=sum(member.left_out for member in members),
        unit=all(member.unit for member in members),
        note=None if found.p_value is not None else "a task of the group has no difference with a known error",
    )


def _filters(wanted: Mapping[str, object], rows: Sequence[Row]) -> list[str]:
    filters = wanted.get("filter_list")
    if isinstance(filters, str):
        return [filters]
    if isinstance(filters, list) and filters:
        return [str(one) for one in filters]
    return list(dict.fromkeys(row.filter for row in rows if row.metric == wanted["metric"]))


def _member(metric: str, filtered: str, rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if (row.metric, row.filter) == (metric, filtered)), None)
