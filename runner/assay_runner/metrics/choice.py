"""Multiple choice by log-likelihood: which choice the model finds likeliest, in three ways of comparing them.

Higher log-likelihood is better; of equal ones the first choice is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay_runner.statistics import exact
from assay_runner.statistics.items import Item


def score(
    logprobs: Sequence[float],
    lengths: Sequence[int],
    gold: int | Sequence[int],
    unconditional: Sequence[float] | None = None,
) -> dict[str, Item]:
    """Items of the multiple-choice metrics for one document.

    Args:
        logprobs: per choice the log-probability of its text after the question, natural logarithm.
        lengths: per choice the length of its text in characters (as lm-evaluation-harness) or another unit, at least 1.
        gold: index of the right choice, or of all right ones.
        unconditional: per choice the log-probability of its text after no question.

    Returns:
        acc: likeliest choice right (1 or 0); acc_norm: the same with log-likelihoods divided by length; brier_score:
        [gold, probabilities], where one choice is right; acc_mutual_info: the same with `unconditional` subtracted,
        where it is given.

    Raises:
        ValueError: there are no choices, the sequences differ in length, a choice is empty, or gold names no choice.
    """
    right = {gold} if isinstance(gold, int) else set(gold)
    if not logprobs or len(lengths) != len(logprobs) or (unconditional and len(unconditional) != len(logprobs)):
        raise ValueError(f"{len(logprobs)} choices have {len(lengths)} lengths")
    if min(lengths) < 1:
        raise ValueError(f"choice {list(lengths).index(min(lengths))} is empty")
    if not right or not right <= set(range(len(logprobs))):
        raise ValueError(f"the right choice is {gold}, but choices run from 0 to {len(logprobs) - 1}")
    normed = [logprob / length for logprob, length in zip(logprobs, lengths, strict=True)]
    items: dict[str, Item] = {"acc": float(best(logprobs) in right), "acc_norm": float(best(normed) in right)}
    if len(right) == 1:
        items["brier_score"] = [min(right), probabilities(logprobs)]
    if unconditional is not None:
        gains = [logprob - without for logprob, without in zip(logprobs, unconditional, strict=True)]
        items["acc_mutual_info"] = float(best(gains) in right)
    return items


def best(scores: Sequence[float]) -> int:
    """Index of the highest score, the first of equal ones."""
    return max(range(len(scores)), key=scores.__getitem__)


def probabilities(logprobs: Sequence[float]) -> list[float]:
    """The choices' probabilities given that one of them is taken (softmax); the same bits on every machine."""
    top = max(logprobs)
    weights = [exact.exp(logprob - top) for logprob in logprobs]
    total = exact.mean(weights) * len(weights)
    return [weight / total for weight in weights]


def same_choice(prediction: Item, gold: Item) -> float:
    """1 when the chosen index or label is the right one, or one of several right ones; else 0."""
    return float(prediction in gold if isinstance(gold, (list, tuple)) else prediction == gold)


def labelled(prediction: Item, gold: Item) -> list[Item]:
    """The item of metrics over labels: [gold, prediction]."""
    return [gold, prediction]


def answered(prediction: Item, document: Item) -> list[Item]:
    """The item of questions that need every answer right: [prediction, document], here in place of a reference."""
    return [prediction, document]
