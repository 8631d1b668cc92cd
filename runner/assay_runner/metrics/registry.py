"""The metrics that task files can name: how one document is scored, and how the scores become a value.

A scoring function takes (prediction, target or references, **options of the task file) and returns a JSON item. The
prediction is what the metric judges: an answer's text, a chosen index or label, class probabilities, a log-probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay_runner.metrics import choice, likelihood, speech, text
from assay_runner.statistics.items import Item


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its defaults; a task file may replace aggregation and direction."""

    name: str
    score: Callable[..., Item]
    """(prediction, references, **options) → item."""
    aggregation: str
    """Name in `assay_runner.statistics.aggregations`."""
    higher_is_better: bool = True


def get(name: str) -> Metric:
    """The metric called `name`.

    Raises:
        KeyError: there is none.
    """
    return _METRICS[name]


def names() -> tuple[str, ...]:
    """All metrics, sorted."""
    return tuple(sorted(_METRICS))


def translation(prediction: Item, references: Item) -> dict[str, Item]:
    """The item of corpus scores of text: the prediction with its references."""
    return {"prediction": str(prediction), "references": text.references_of(references)}


def nothing(prediction: Item, references: Item) -> None:
    """The item of a metric that is not computed."""


_ALL = (
    Metric("acc", choice.same_choice, "mean"),
    Metric("acc_norm", choice.same_choice, "mean"),
    Metric("acc_mutual_info", choice.same_choice, "mean"),
    Metric("acc_all", choice.answered, "acc_all"),
    Metric("brier_score", choice.labelled, "brier_score", higher_is_better=False),
    Metric("f1", choice.labelled, "f1"),
    Metric("mcc", choice.labelled, "mcc"),
    Metric("exact_match", text.exact_match, "mean"),
    Metric("contains", text.contains, "mean"),
    Metric("relaxed_accuracy", text.relaxed_accuracy, "mean"),
    Metric("token_f1", text.token_f1, "mean"),
    Metric("anls", text.anls, "mean"),
    Metric("bleu", translation, "bleu"),
    Metric("chrf", translation, "chrf"),
    Metric("ter", translation, "ter", higher_is_better=False),
    Metric("wer", speech.wer, "wer", higher_is_better=False),
    Metric("cer", speech.cer, "cer", higher_is_better=False),
    Metric("perplexity", likelihood.logprob, "perplexity", higher_is_better=False),
    Metric("word_perplexity", likelihood.per_word, "weighted_perplexity", higher_is_better=False),
    Metric("byte_perplexity", likelihood.per_byte, "weighted_perplexity", higher_is_better=False),
    Metric("bits_per_byte", likelihood.per_byte, "bits_per_byte", higher_is_better=False),
    Metric("bypass", nothing, "bypass"),
)
_METRICS = {metric.name: metric for metric in _ALL}
