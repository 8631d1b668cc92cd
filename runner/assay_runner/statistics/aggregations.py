"""Aggregations: from the items of all documents of a task, in document order, to the value of a metric.

There are three kinds, and the kind decides how the uncertainty is found. A `Mean` is the mean of one number per
document. `Totals` are a formula over sums of a few numbers per document (word errors and words; n-gram counts), so a
resample costs a vector product. A `Whole` is any function of all items, such as a task's own Python.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from assay_runner.statistics import classification, corpus, exact
from assay_runner.statistics.items import AggregationError, Item, ItemError, counted, finite, number, numbers

Value: TypeAlias = float | dict[str, float | None] | None
"""What a metric comes to; None when the items say nothing. Never NaN and never infinite."""

Rows: TypeAlias = Sequence[Sequence[float]] | NDArray[np.float64]

_LN2 = 0.6931471805599453


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of one number per item; an item whose number is None is left out."""

    name: str
    values: Callable[[Sequence[Item]], Sequence[float | None] | NDArray[np.float64]]

    def compute(self, items: Sequence[Item]) -> float | None:
        """The value over `items`; None without any.

        Raises:
            ItemError: an item is of the wrong type.
        """
        values = np.array(self.values(items), dtype=np.float64)
        present = values[~np.isnan(values)]
        return exact.mean(present) if len(present) else None


@dataclass(frozen=True, slots=True)
class Totals:
    """A formula (`finish`) over the column sums of n×k numbers (`rows`), one row per item.

    `units` names the unit of every item where the documents of one unit are scored together, for tasks that give no
    clusters.
    """

    name: str
    rows: Callable[[Sequence[Item]], Rows]
    finish: Callable[[Sequence[float]], float | None]
    units: Callable[[Sequence[Item]], Sequence[str]] | None = None

    def compute(self, items: Sequence[Item]) -> float | None:
        """The value over `items`; None without any, and where the formula has none.

        Raises:
            ItemError: an item is of the wrong type.
        """
        return self.of_rows(self.rows(items))

    def of_rows(self, rows: Rows) -> float | None:
        """The value over rows; None without any."""
        return self.of_sums([exact.total(column) for column in np.asarray(rows, dtype=float).T]) if len(rows) else None

    def of_sums(self, sums: Sequence[float]) -> float | None:
        """The value for column sums; None where it is not a finite number."""
        value = self.finish(sums)
        return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Whole:
    """Any function of all items. It is given its own copy of them each time, so it may change what it gets."""

    name: str
    function: Callable[[list[Item]], Any]
    object_hook: Callable[[dict[str, Any]], Any] | None = None
    """As of `json.loads`: what the function gets for a mapping in an item."""

    def compute(self, items: Sequence[Item]) -> Value:
        """The value over `items`; None without any.

        Raises:
            ItemError: an item is of the wrong type (built-in functions only).
            AggregationError: the function failed, or gave something that is no number.
        """
        return self.of_json([json.dumps(item) for item in items])

    def of_json(self, items: Sequence[str]) -> Value:
        """The same for items as JSON texts: parsing is the cheapest fresh copy.

        Raises:
            ItemError: an item is of the wrong type (built-in functions only).
            AggregationError: the function failed, or gave something that is no number.
        """
        if not items:
            return None
        try:
            result = self.function(json.loads(f"[{','.join(items)}]", object_hook=self.object_hook))
        except ItemError:
            raise
        # The function is the user's: whatever it raises, the answer is a sentence that names the metric.
        except (Exception, SystemExit) as error:
            raise AggregationError(self.name, f"its function raised {type(error).__name__}: {error}") from error
        return _value(self.name, result)


Aggregation: TypeAlias = Mean | Totals | Whole


def custom(
    metric: str, function: Callable[[list[Item]], Any], object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> Whole:
    """An aggregation from a callable that takes the list of items and returns a number (also numpy's), a mapping of
    names to numbers, or None. NaN and infinities, as from an empty mean, become None. `object_hook`: as of `json.loads`, what
    the callable gets for a mapping in an item."""
    return Whole(metric, function, object_hook)


def get(name: str) -> Aggregation:
    """The built-in aggregation called `name`.

    Raises:
        KeyError: there is none.
    """
    return _BUILT_IN[name]


def names() -> tuple[str, ...]:
    """The built-in aggregations, sorted."""
    return tuple(sorted(_BUILT_IN))


def _value(metric: str, result: Any) -> Value:
    if isinstance(result, Mapping):
        return {str(key): _scalar(metric, part) for key, part in result.items()}
    return _scalar(metric, result)


def _scalar(metric: str, result: Any) -> float | None:
    if getattr(result, "shape", None) == ():
        result = result.item()
    if result is None or (isinstance(result, float) and not math.isfinite(result)):
        return None
    if not finite(result):
        raise AggregationError(metric, f"its function returned {str(result)[:60]!r} where a number or None is expected")
    return float(result)


def _present(items: Sequence[Item]) -> list[float | None] | NDArray[np.float64]:
    if isinstance(items, array):
        return numbers(items)
    missing = (item is None or item != item for item in items)
    return [None if absent else number(item, i) for i, (absent, item) in enumerate(zip(missing, items, strict=True))]


def _median(items: list[Item]) -> float:
    ordered: list[float] = sorted(numbers(items).tolist())
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _nothing(items: list[Item]) -> None:
    return None


def _counted_rows(names: tuple[str, ...], items: Sequence[Item]) -> list[tuple[float, float]]:
    expected = f"[{names[0]}, {names[-1]}] or {{{names[0]!r}: …, {names[-1]!r}: …}}"
    return [counted(item, index, names, expected) for index, item in enumerate(items)]


def _with_count(items: Sequence[Item]) -> NDArray[np.float64]:
    return np.column_stack([numbers(items), np.ones(len(items))])


def _singles(items: Sequence[Item]) -> NDArray[np.float64]:
    return numbers(items)[:, None]


def _ratio(sums: Sequence[float]) -> float | None:
    return exact.ratio(sums[0], sums[1])


def _perplexity(sums: Sequence[float]) -> float | None:
    return exact.exp(-sums[0] / sums[1]) if sums[1] else None


def _bits(sums: Sequence[float]) -> float | None:
    return -sums[0] / sums[1] / _LN2 if sums[1] else None


_LOGPROBS = partial(_counted_rows, ("logprob", "words", "bytes"))
_EDITS = partial(_counted_rows, ("edits", "words", "characters"))
_WEIGHTED = partial(_counted_rows, ("sum", "weight"))

_ALL: tuple[Aggregation, ...] = (
    Mean("mean", numbers),
    Mean("nanmean", _present),
    Mean("brier_score", classification.brier),
    Whole("median", _median),
    Whole("bypass", _nothing),
    Totals("sum", _singles, lambda sums: sums[0]),
    Totals("weighted_mean", _WEIGHTED, _ratio),
    Totals("perplexity", _with_count, _perplexity),
    Totals("weighted_perplexity", _LOGPROBS, _perplexity),
    Totals("bits_per_byte", _LOGPROBS, _bits),
    Totals("wer", _EDITS, _ratio),
    Totals("cer", _EDITS, _ratio),
    Totals("bleu", corpus.bleu_rows, corpus.bleu),
    Totals("chrf", corpus.chrf_rows, corpus.chrf),
    Totals("ter", corpus.ter_rows, corpus.ter),
    Totals("f1", classification.binary_rows, classification.f1),
    Totals("mcc", classification.confusion_rows, classification.mcc),
    Totals("acc_all", classification.question_rows, _ratio, classification.questions),
)
_BUILT_IN = {aggregation.name: aggregation for aggregation in _ALL}
