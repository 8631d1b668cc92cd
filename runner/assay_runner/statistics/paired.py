"""The difference of two models on the same documents: paired by document, clustered where documents are.

One method serves every design: the bias-reduced cluster-robust error CR2 with Satterthwaite's degrees of freedom (Bell &
McCaffrey 2002), which for a mean has a closed form. It is the paired t test where documents are independent, and the
usual clustered error with G − 1 degrees where clusters are of one size; where they are few or unequal it keeps the rate of
false alarms, which the usual one does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from assay_runner.statistics import exact, intervals

DifferenceMethod: TypeAlias = Literal[
    "paired-t", "clustered-t", "sign", "identical", "bootstrap", "cluster-bootstrap", "satterthwaite", "none"
]

ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """What B − A comes to and how sure it is; what cannot be said is None."""

    n: int
    """Documents with a score in both."""
    clusters: int | None
    value_a: float | None
    value_b: float | None
    difference: float | None
    stderr: float | None = None
    degrees: float | None = None
    """Degrees of freedom of the t distribution behind interval and p-value."""
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    method: DifferenceMethod = "none"
    """How interval and p-value were made; `none` without a p-value."""
    usual_stderr: float | None = None
    """CR1, the error without the small-sample reduction (as statsmodels gives it), for documents in clusters."""
    usual_p_value: float | None = None
    """The p-value of `usual_stderr` with G − 1 degrees."""


@dataclass(frozen=True, slots=True)
class Counts:
    """On how many documents B has the higher score, the lower one, or the same."""

    higher: int
    lower: int
    same: int


def difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[str] | None = None) -> Difference:
    """The mean of bᵢ − aᵢ over documents with its error, interval and two-sided p-value.

    Args:
        a, b: one finite number per document, in the same order.
        clusters: for each document the name of its cluster; None when documents are independent.

    Raises:
        ValueError: there are not as many of each.
    """
    deltas = [after - before for before, after in zip(a, b, strict=True)]
    if clusters is not None and len(clusters) != len(deltas):
        raise ValueError(f"{len(deltas)} documents have {len(clusters)} clusters")
    n, count = len(deltas), None if clusters is None else len(set(clusters))
    if not n:
        return Difference(0, count, None, None, None)
    center = exact.mean(deltas)
    bare = Difference(n, count, exact.mean(a), exact.mean(b), center)
    if not any(deltas):
        return replace(bare, stderr=0.0, p_value=1.0, method="identical")
    totals, sizes = _of_clusters(deltas, center, clusters)
    units = len(sizes)
    if units < 2:
        return bare
    shares = [size / n for size in sizes]
    stderr = math.sqrt(math.fsum(total * total / (1 - share) for total, share in zip(totals, shares, strict=True))) / n
    negligible = max(map(abs, deltas)) * 1e-12
    if stderr <= negligible:
        # Every unit says the same, up to rounding: only signs can be tested.
        p_value = 1.0 if abs(center) <= negligible else sign_test(units)
        return replace(bare, stderr=0.0, p_value=p_value, method="sign")
    degrees = satterthwaite_degrees(shares)
    low, high = intervals.t_interval(center, stderr, degrees)
    if all(score in (0.0, 1.0) for scores in (a, b) for score in scores):
        low, high = max(-1.0, low), min(1.0, high)
    grouped = clusters is not None and units != n
    usual = math.sqrt(units / (units - 1) * math.fsum(total * total for total in totals)) / n if grouped else None
    return replace(
        bare,
        stderr=stderr,
        degrees=degrees,
        ci_low=low,
        ci_high=high,
        p_value=intervals.t_p_value(center / stderr, degrees),
        method="clustered-t" if grouped else "paired-t",
        usual_stderr=usual,
        usual_p_value=intervals.t_p_value(center / usual, units - 1) if usual else None,
    )


def satterthwaite_degrees(shares: Sequence[float]) -> float:
    """1 / ( Σ h_g² + Σ_{g≠k} h_g² h_k² / ((1 − h_g)(1 − h_k)) ) for at least two clusters with shares h_g of the documents.

    Bell & McCaffrey (2002), for a regression on a constant with independent errors of equal variance as working
    model; G − 1 when all shares are alike.
    """
    if len(set(shares)) == 1:
        return float(len(shares) - 1)
    leverages = [share * share / (1 - share) for share in shares]
    total = math.fsum(leverages)
    crossed = total * total - math.fsum(one * one for one in leverages)
    return 1 / (math.fsum(share * share for share in shares) + crossed)


def sign_test(units: int) -> float:
    """2^(1 − units): the two-sided p-value when all of at least one independent units point the same way."""
    return 2.0 ** max(1 - units, -1074)


def counts(a: Sequence[float], b: Sequence[float]) -> Counts:
    """How often B is higher, lower, or the same."""
    higher = sum(after > before for before, after in zip(a, b, strict=True))
    lower = sum(after < before for before, after in zip(a, b, strict=True))
    return Counts(higher, lower, len(a) - higher - lower)


def mcnemar(higher: int, lower: int) -> float:
    """The exact two-sided McNemar test: 2 · P(X ≤ min) for X ~ Binomial(higher + lower, ½), at most 1 (McNemar 1947).

    For zeros and ones of independent documents.
    """
    from scipy.special import bdtr

    if higher == lower:
        return 1.0
    return min(1.0, intervals.twelve_digits(2 * float(bdtr(min(higher, lower), higher + lower, 0.5))))


def minimum_detectable(stderr: float, degrees: float) -> float:
    """(t₀.₉₇₅ + t₀.₈) · SE: the smallest difference that a two-sided test at 0.05 finds in four of five tries (Bloom
    1995)."""
    return (intervals.t_quantile(degrees) + intervals.t_quantile(degrees, POWER)) * stderr


def documents_needed(n: int, detectable: float, effect: float) -> int:
    """n · (MDE / effect)²: documents of the same kind, in clusters as these, to find `effect` ≠ 0 as reliably; errors
    shrink with the root of n (Miller 2024, section 5)."""
    return math.ceil(n * (detectable / effect) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): max over j ≤ i of (m − j + 1) · p₍ⱼ₎, at most 1."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def worst_case(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[float, float]:
    """The least and the greatest mean of b − a over all `pairs` (at least one) when a missing score (None) may be anything
    in [0, 1] (Manski 1990)."""
    low = math.fsum((0.0 if b is None else b) - (1.0 if a is None else a) for a, b in pairs) / len(pairs)
    high = math.fsum((1.0 if b is None else b) - (0.0 if a is None else a) for a, b in pairs) / len(pairs)
    return low, high


def _of_clusters(
    deltas: Sequence[float], center: float, clusters: Sequence[str] | None
) -> tuple[list[float], list[int]]:
    """Per cluster the sum of dᵢ − d̄, and its size."""
    if clusters is None:
        return [delta - center for delta in deltas], [1] * len(deltas)
    members: dict[str, list[float]] = {}
    for delta, cluster in zip(deltas, clusters, strict=True):
        members.setdefault(cluster, []).append(delta - center)
    return [math.fsum(group) for group in members.values()], [len(group) for group in members.values()]
