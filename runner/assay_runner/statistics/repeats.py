"""Several samples of one document: their average (avg@k), whether any of k is right (pass@k), what most of them say
(majority@k).

Every figure is first one number per document and then a mean over documents, so its standard error is over documents:
repeats of one document are no independent evidence. A document with fewer good repeats than k is left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from assay_api.base import canonical
from assay_runner.statistics import exact
from assay_runner.statistics.estimate import Estimate, of_numbers
from assay_runner.statistics.items import AggregationError, Item, finite
from assay_runner.statistics.units import Clusters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RepeatEstimate:
    """One figure over repeats; `left_out` documents had fewer than `k` good repeats and are no part of it."""

    name: str
    """`avg@k`, `pass@k` or `majority@k`, with k as a number."""
    k: int
    estimate: Estimate
    left_out: int


def steps(repeats: int) -> tuple[int, ...]:
    """The k for which pass@k is given: 1, 2, 4, … up to and including `repeats` ≥ 1."""
    powers = (1 << i for i in range(repeats.bit_length()))
    return tuple(dict.fromkeys([*powers, repeats]))


def average(values: Iterable[Sequence[Item]], k: int, clusters: Clusters | None = None) -> RepeatEstimate:
    """avg@k: the mean over documents of the mean over a document's good repeats.

    Args:
        values: per document, the numbers of its good repeats in order.
        k: repeats that were planned; a document needs as many.
        clusters: for each document what its cluster is called.

    Raises:
        AggregationError: a value is no number.
    """
    return _over_documents(f"avg@{k}", values, k, clusters, average_score)


def pass_at(values: Iterable[Sequence[Item]], k: int, clusters: Clusters | None = None) -> RepeatEstimate:
    """pass@k: the mean over documents of 1 − C(n−c, k)/C(n, k), for n good repeats of which c are right.

    The unbiased estimate of the chance that at least one of k samples is right (Chen et al. 2021, eq. 1), computed in
    integers; its interval is cut to [0, 1].

    Raises:
        AggregationError: a value is neither 0 nor 1.
    """
    found = _over_documents(f"pass@{k}", values, k, clusters, pass_score)
    return replace(found, estimate=_within_unit(found.estimate))


def majority_at(
    answers: Iterable[Sequence[tuple[Item, Item]]], k: int, clusters: Clusters | None = None
) -> RepeatEstimate:
    """majority@k: the score of the most frequent answer among a document's first k good repeats.

    Args:
        answers: per document, (filtered answer, its value) of the good repeats in order.
        k: how many of them vote; of answers with equally many votes the one that came first counts.
        clusters: for each document what its cluster is called.

    Raises:
        AggregationError: the value of a winning answer is no number.
    """
    return _over_documents(f"majority@{k}", answers, k, clusters, majority_score)


def average_score(document: Sequence[Item], k: int) -> float:
    """avg@k of one document: the mean of its good repeats.

    Raises:
        AggregationError: a value is no number.
    """
    return exact.mean(_numbers(f"avg@{k}", document))


def pass_score(document: Sequence[Item], k: int) -> float:
    """pass@k of one document with at least k good repeats.

    Raises:
        AggregationError: a value is neither 0 nor 1.
    """
    marks = _numbers(f"pass@{k}", document)
    if any(mark not in (0.0, 1.0) for mark in marks):
        raise AggregationError(f"pass@{k}", "a repeat is neither right (1) nor wrong (0)")
    ways = math.comb(len(marks), k)
    return (ways - math.comb(marks.count(0.0), k)) / ways


def majority_score(document: Sequence[tuple[Item, Item]], k: int) -> float:
    """majority@k of one document's (answer, value) pairs.

    Raises:
        AggregationError: the value of the winning answer is no number.
    """
    votes: dict[Hashable, int] = {}
    ballots = [(_key(answer), value) for answer, value in document[:k]]
    for answer, _ in ballots:
        votes[answer] = votes.get(answer, 0) + 1
    winner = max(votes, key=votes.__getitem__)
    return _numbers(f"majority@{k}", [next(value for answer, value in ballots if answer == winner)])[0]


def _key(answer: Item) -> Hashable:
    """Equal for equal JSON data only: 1, 1.0 and true are three answers."""
    return answer if type(answer) in (str, int) else canonical(answer)


def _within_unit(found: Estimate) -> Estimate:
    if found.ci_low is None or found.ci_high is None:
        return found
    return replace(found, ci_low=max(0.0, found.ci_low), ci_high=min(1.0, found.ci_high))


def _numbers(metric: str, values: Sequence[Item]) -> list[float]:
    if not all(finite(value) for value in values):
        raise AggregationError(metric, "a repeat has a value that is no finite number")
    return [float(value) for value in values]


def _over_documents(
    name: str,
    documents: Iterable[Sequence[T]],
    k: int,
    clusters: Clusters | None,
    score: Callable[[Sequence[T], int], float],
) -> RepeatEstimate:
    if k < 1:
        raise ValueError(f"{name} needs at least one repeat")
    scores = [score(document, k) if len(document) >= k else None for document in documents]
    return RepeatEstimate(name, k, of_numbers(scores, clusters), scores.count(None))
