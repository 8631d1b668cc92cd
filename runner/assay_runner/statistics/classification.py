"""Aggregations of right and wrong labels: F1, Matthews correlation, Brier score, and questions that need every part
right.

An item is `[gold, prediction]`, as in lm-evaluation-harness, or a mapping with those names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay_api.base import canonical
from assay_runner.statistics.items import Item, ItemError, finite, pair

_LABELS = "[gold, prediction]"
_BINARY = "[gold, prediction], both 0 or 1"
_BRIER = "[index of the right class, list of the probabilities of all classes]"
_ANSWERS = "[prediction, document with idx.paragraph, idx.question and label]"


def binary_rows(items: Sequence[Item]) -> list[tuple[float, float, float]]:
    """n×3: true positive, false positive, false negative.

    Raises:
        ItemError: an item is not a pair of labels that are 0 or 1.
    """
    rows = []
    for index, item in enumerate(items):
        gold, prediction = pair(item, index, ("gold", "prediction"), _BINARY)
        if not all(finite(label) and label in (0, 1) for label in (gold, prediction)):
            raise ItemError(index, item, _BINARY)
        rows.append((float(gold and prediction), float(prediction and not gold), float(gold and not prediction)))
    return rows


def f1(sums: Sequence[float]) -> float:
    """2TP / (2TP + FP + FN), of label 1; 0 when neither labels nor predictions hold a 1 (as in scikit-learn)."""
    true_positive, false_positive, false_negative = sums
    whole = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / whole if whole else 0.0


def confusion_rows(items: Sequence[Item]) -> list[list[float]]:
    """n×(1 + 2K) for K labels: right or not, then gold one-hot, then prediction one-hot.

    Raises:
        ItemError: an item is no pair of labels (numbers, booleans or text).
    """
    pairs = [pair(item, index, ("gold", "prediction"), _LABELS) for index, item in enumerate(items)]
    for index, labels in enumerate(pairs):
        if not all(isinstance(label, (int, float, str)) for label in labels):
            raise ItemError(index, items[index], _LABELS)
    column = {label: place for place, label in enumerate(dict.fromkeys(label for labels in pairs for label in labels))}
    rows = []
    for gold, prediction in pairs:
        row = [0.0] * (1 + 2 * len(column))
        row[0] = float(gold == prediction)
        row[1 + column[gold]] = 1.0
        row[1 + len(column) + column[prediction]] = 1.0
        rows.append(row)
    return rows


def mcc(sums: Sequence[float]) -> float:
    """Matthews correlation for K labels (Gorodkin 2004): (cs − Σ p·t) / √((s² − Σp²)(s² − Σt²)); 0 when a factor is
    0."""
    labels = (len(sums) - 1) // 2
    right, gold, predicted = sums[0], sums[1 : 1 + labels], sums[1 + labels :]
    total = sum(gold)
    spread = (total * total - sum(g * g for g in gold)) * (total * total - sum(p * p for p in predicted))
    covariance = right * total - sum(g * p for g, p in zip(gold, predicted, strict=True))
    return covariance / math.sqrt(spread) if spread else 0.0


def brier(items: Sequence[Item]) -> list[float]:
    """Per item the squared distance of the probabilities from the truth, summed over classes (0 to 2; Brier 1950).

    Raises:
        ItemError: an item is no pair of a class index and as many probabilities as there are classes.
    """
    scores = []
    for index, item in enumerate(items):
        gold, probabilities = pair(item, index, ("gold", "prediction"), _BRIER)
        known = isinstance(probabilities, (list, tuple)) and all(finite(p) for p in probabilities)
        if not known or not isinstance(gold, int) or not 0 <= gold < len(probabilities):
            raise ItemError(index, item, _BRIER)
        misses = [float(p) - (place == gold) for place, p in enumerate(probabilities)]
        scores.append(math.fsum(miss * miss for miss in misses))
    return scores


def questions(items: Sequence[Item]) -> list[str]:
    """The question each item is one answer of (MultiRC): items of one question are right or wrong together.

    Raises:
        ItemError: an item does not say which question it belongs to.
    """
    return [_answer(item, index)[0] for index, item in enumerate(items)]


def question_rows(items: Sequence[Item]) -> list[tuple[float, float]]:
    """n×2: on the first item of a question (all its answers right, 1), on its others (0, 0).

    Raises:
        ItemError: an item does not say which question it belongs to, or what is right.
    """
    answers = [_answer(item, index) for index, item in enumerate(items)]
    all_right: dict[str, bool] = {}
    for question, right in answers:
        all_right[question] = all_right.get(question, True) and right
    rows = []
    for question, _ in answers:
        first = question in all_right
        rows.append((float(all_right.pop(question, False)), float(first)))
    return rows


def _answer(item: Item, index: int) -> tuple[str, bool]:
    prediction, document = pair(item, index, ("prediction", "document"), _ANSWERS)
    place: Any = document.get("idx") if isinstance(document, Mapping) else None
    if not isinstance(place, Mapping) or not {"paragraph", "question"} <= place.keys() or "label" not in document:
        raise ItemError(index, item, _ANSWERS)
    return canonical([place["paragraph"], place["question"]]).decode(), bool((document["label"] == 1) == prediction)
