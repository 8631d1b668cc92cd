"""From a task's pairs to one row per figure of results.json: which items go through which arithmetic.

The rules are the reducer's: repeats of a document are one number first, and what has no number per document is computed
from all items at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from assay_api.plan import TaskPlan
from assay_runner.compare.finished import FinishedRun
from assay_runner.compare.pairs import ABSENT, Column, TaskPairs
from assay_runner.reduce.task_metrics import aggregation_of, item_key
from assay_runner.statistics import exact, paired, repeats
from assay_runner.statistics.aggregations import Mean, Totals, Value, Whole
from assay_runner.statistics.estimate import DEFAULT_RESAMPLES
from assay_runner.statistics.items import AggregationError, Item, ItemError, finite
from assay_runner.statistics.paired import Counts, Difference
from assay_runner.statistics.paired_bootstrap import resampled_difference
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks.task import MetricSpec

T = TypeVar("T")
Scores: TypeAlias = Mapping[int, float]
"""Document → its score, for the documents that have one."""

ONE_UNIT = "one question, or one cluster, has no spread"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in both runs: everything but its verdict."""

    metric: str
    filter: str
    higher_is_better: bool
    value_a: Value
    value_b: Value
    difference: Difference
    left_out: int = 0
    counts: Counts | None = None
    """For metrics with one number per document."""
    binary: bool = False
    """Whether all those numbers are 0 or 1."""
    unit: bool = False
    """Whether they all lie between 0 and 1."""
    bounds: tuple[float, float] | None = None
    note: str | None = None


def task_rows(
    specs: Sequence[MetricSpec], plan: TaskPlan, pairs: TaskPairs, a: FinishedRun, b: FinishedRun
) -> Iterator[Row]:
    """One row per figure of the task, in the order of results.json.

    Raises:
        AggregationError: items and aggregation do not fit, or the task's own aggregation failed.
        Corrupt: a run's results are not what its records give.
    """
    for spec in specs:
        yield from _Metric(spec, plan, pairs, a, b).rows(pairs.columns.get(item_key(spec), Column()))


@dataclass(frozen=True, slots=True)
class _Metric:
    spec: MetricSpec
    plan: TaskPlan
    pairs: TaskPairs
    a: FinishedRun
    b: FinishedRun

    def rows(self, column: Column) -> Iterator[Row]:
        repeated = self.plan.repeats > 1 and not self.spec.per_document
        aggregation = aggregation_of(self.spec)
        if repeated and all(item is ABSENT or finite(item) for side in (column.a, column.b) for item in side):
            yield from self._over_repeats(column)
        elif isinstance(aggregation, Mean):
            yield self._of_means(column, aggregation, repeated=repeated)
        elif not self.spec.pure:
            yield self._as_reported()
        else:
            yield self._resampled(column, aggregation, repeated=repeated)

    def _over_repeats(self, column: Column) -> Iterator[Row]:
        name, k = self.spec.metric, self.plan.repeats
        a, b = _by_document(column.documents, column.a), _by_document(column.documents, column.b)
        yield self._of_scores(
            f"{name}:avg@{k}", _scores(a, k, repeats.average_score), _scores(b, k, repeats.average_score)
        )
        if all(item is ABSENT or item in (0, 1) for side in (column.a, column.b) for item in side):
            for step in repeats.steps(k):
                scores = (_scores(side, step, repeats.pass_score) for side in (a, b))
                yield self._of_scores(f"{name}:pass@{step}", *scores)
        votes_a, votes_b = _votes(column.a, column.answers_a), _votes(column.b, column.answers_b)
        if all(vote is ABSENT or vote[0] is not None for side in (votes_a, votes_b) for vote in side):
            sides = (_by_document(column.documents, votes) for votes in (votes_a, votes_b))
            yield self._of_scores(f"{name}:majority@{k}", *(_scores(side, k, repeats.majority_score) for side in sides))

    def _of_means(self, column: Column, aggregation: Mean, *, repeated: bool) -> Row:
        k = self.plan.repeats if repeated else 1
        sides = []
        for items in (column.a, column.b):
            present = [
                (document, item) for document, item in zip(column.documents, items, strict=True) if item is not ABSENT
            ]
            try:
                values = aggregation.values([item for _, item in present])
            except ItemError as error:
                raise self._unusable(str(error)) from error
            numbers = [ABSENT if value is None else value for value in values]
            grouped = _by_document([document for document, _ in present], numbers)
            sides.append(_scores(grouped, k, repeats.average_score))
        # With repeats, results.json has the mean of all good samples, of documents too that lack some.
        return self._of_scores(self.spec.metric, *sides, reported=not repeated)

    def _of_scores(self, name: str, a: Scores, b: Scores, *, reported: bool = True) -> Row:
        """The row of a metric with one number per document, checked against the results where they report that number."""
        for run, scores in ((self.a, a), (self.b, b)):
            if reported and scores:
                self._check(run, name, exact.mean(list(scores.values())))
        documents = sorted(a.keys() | b.keys() | (self.pairs.failed_a & self.pairs.failed_b))
        both = [document for document in documents if document in a and document in b]
        left, right = [a[document] for document in both], [b[document] for document in both]
        found = paired.difference(left, right, self._clusters(both))
        unit = all(0 <= score <= 1 for scores in (a, b) for score in scores.values())
        left_out = len(documents) - len(both)
        return Row(
            metric=name,
            filter=self.spec.filter,
            higher_is_better=self.spec.higher_is_better,
            value_a=found.value_a,
            value_b=found.value_b,
            difference=found,
            left_out=left_out,
            counts=paired.counts(left, right),
            binary=all(score in (0.0, 1.0) for scores in (left, right) for score in scores),
            unit=unit,
            bounds=paired.worst_case([(a.get(one), b.get(one)) for one in documents]) if left_out and unit else None,
            note=None if found.p_value is not None else ONE_UNIT if both else "no question has a score in both runs",
        )

    def _resampled(self, column: Column, aggregation: Totals | Whole, *, repeated: bool) -> Row:
        """The row of a metric that is computed from all items at once."""
        triples = zip(column.documents, column.a, column.b, strict=True)
        common = [triple for triple in triples if triple[1] is not ABSENT and triple[2] is not ABSENT]
        documents = [document for document, _, _ in common]
        clusters = self._clusters(documents)
        if repeated:
            # All samples count, and a document's repeats are one cluster.
            clusters = [self.pairs.clusters.get(document, f"document {document}") for document in documents]
        try:
            found = resampled_difference(
                [item for _, item, _ in common],
                [item for _, _, item in common],
                aggregation,
                clusters,
                derive_seed(0, self.plan.name, item_key(self.spec)),
                DEFAULT_RESAMPLES,
                metric=item_key(self.spec),
            )
        except AggregationError as error:
            raise self._unusable(error.problem) from error
        seen = {*column.documents, *(self.pairs.failed_a & self.pairs.failed_b)}
        left_out = len(seen) - len(set(documents))
        if isinstance(aggregation, Totals) and len(common) == len(column.documents):
            self._check(self.a, self.spec.metric, found.value_a)
            self._check(self.b, self.spec.metric, found.value_b)
        return Row(
            metric=self.spec.metric,
            filter=self.spec.filter,
            higher_is_better=self.spec.higher_is_better,
            value_a=found.value_a,
            value_b=found.value_b,
            difference=replace(found.difference, n=len(set(documents))),
            left_out=left_out,
            note=found.problem,
        )

    def _as_reported(self) -> Row:
        """The row of an aggregation that may be called only once, which the reducers did."""
        reported = [run.metric(self.plan.name, self.spec.metric, self.spec.filter) for run in (self.a, self.b)]
        values = [one.value if one else None for one in reported]
        numbers = [value for value in values if isinstance(value, float)]
        delta = numbers[1] - numbers[0] if len(numbers) == 2 else None
        return Row(
            metric=self.spec.metric,
            filter=self.spec.filter,
            higher_is_better=self.spec.higher_is_better,
            value_a=values[0],
            value_b=values[1],
            difference=Difference(min(one.n if one else 0 for one in reported), None, None, None, delta),
            note="the aggregation writes files or asks a judge, so it is not computed again; "
            "the values are those of each run, over all questions it has scored",
        )

    def _clusters(self, documents: Sequence[int]) -> list[str] | None:
        clusters = self.pairs.clusters
        return [clusters[document] for document in documents] if clusters else None

    def _check(self, run: FinishedRun, name: str, value: Value) -> None:
        """Refuse results that are not what the records give."""
        reported = run.metric(self.plan.name, name, self.spec.filter)
        if reported is None or not isinstance(reported.value, float) or not isinstance(value, float):
            return
        if not math.isclose(reported.value, value, rel_tol=1e-9, abs_tol=1e-12):
            run.contradict(f"{self.plan.name} {name} is {reported.value!r}", repr(value))

    def _unusable(self, problem: str) -> AggregationError:
        return AggregationError(f"{self.plan.name}: {item_key(self.spec)}", problem)


def _by_document(documents: Sequence[int], values: Sequence[Any]) -> dict[int, list[Any]]:
    """The values of each document that are there, in order."""
    grouped: dict[int, list[Any]] = {}
    for document, value in zip(documents, values, strict=True):
        if value is not ABSENT:
            grouped.setdefault(document, []).append(value)
    return grouped


def _scores(grouped: Mapping[int, list[T]], k: int, score: Callable[[Sequence[T], int], float]) -> dict[int, float]:
    """One number for each document with at least k good samples."""
    return {document: score(values, k) for document, values in grouped.items() if len(values) >= k}


def _votes(items: Sequence[Item], answers: Sequence[str | None]) -> list[Any]:
    """(answer, item) of every sample that has an item."""
    return [ABSENT if item is ABSENT else (answer, item) for item, answer in zip(items, answers, strict=True)]
