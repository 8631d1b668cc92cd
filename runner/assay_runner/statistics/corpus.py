"""Corpus scores of translations (BLEU, chrF, TER) as sums of counts over sentences and a formula over the sums.

Tokens, edits and matches are counted as sacrebleu counts them, and the values equal its corpus scores; the formula is
written out here because a bootstrap needs it for other sums, and because its logarithms must not depend on the C
library.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from assay_runner.statistics import exact
from assay_runner.statistics.items import Item, ItemError, pair

_EXPECTED = "[references, prediction] with one text or a list of texts as references"
_ORDER = 4
"""Longest word n-gram of BLEU (Papineni et al. 2002)."""
_CHARACTERS = 6
_BETA_SQUARED = 4
"""chrF2: character n-grams up to 6, recall counts twice (Popović 2015)."""


def bleu_rows(items: Sequence[Item]) -> list[list[float]]:
    """n×10: length of the prediction, of the closest reference, matches of 1- to 4-grams, 1- to 4-grams (tokenizer
    13a).

    Raises:
        ItemError: an item is no pair of references and prediction.
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    rows = []
    for index, item in enumerate(items):
        references, prediction = _texts(item, index)
        score = metric.sentence_score(prediction, references)
        rows.append([float(count) for count in (score.sys_len, score.ref_len, *score.counts, *score.totals)])
    return rows


def bleu(sums: Sequence[float]) -> float:
    """BLEU, 0 to 100: brevity penalty × geometric mean of the four precisions, a precision of 0 smoothed
    exponentially."""
    length, reference, matches, totals = sums[0], sums[1], sums[2 : 2 + _ORDER], sums[2 + _ORDER :]
    if not any(matches) or not all(totals):
        return 0.0
    precisions, smooth = [], 1.0
    for match, total in zip(matches, totals, strict=True):
        smooth = smooth if match else smooth * 2
        precisions.append(100 * match / total if match else 100 / (smooth * total))
    penalty = 1 - reference / length if length < reference else 0.0
    return exact.exp(penalty + math.fsum(exact.log(precision) for precision in precisions) / _ORDER)


def chrf_rows(items: Sequence[Item]) -> list[list[float]]:
    """n×18: for each order n-grams of the prediction, of the reference, and matches; of the reference that fits best.

    Raises:
        ItemError: an item is no pair of references and prediction.
    """
    rows = []
    for index, item in enumerate(items):
        references, prediction = _texts(item, index)
        grams = _character_grams(prediction)
        rows.append(max((_matches(grams, _character_grams(reference)) for reference in references), key=chrf))
    return rows


def chrf(sums: Sequence[float]) -> float:
    """chrF2, 0 to 100: F-score (β = 2) of the precision and recall averaged over the orders that occur in both
    texts."""
    present = [sums[i : i + 3] for i in range(0, 3 * _CHARACTERS, 3) if sums[i] > 0 and sums[i + 1] > 0]
    if not present:
        return 0.0
    precision = sum(match / predicted for predicted, _, match in present) / len(present)
    recall = sum(match / reference for _, reference, match in present) / len(present)
    if not precision + recall:
        return 0.0
    return 100 * ((1 + _BETA_SQUARED) * precision * recall / (_BETA_SQUARED * precision + recall))


def ter_rows(items: Sequence[Item]) -> list[tuple[float, float]]:
    """n×2: fewest edits, shifts included, to one of the references, and their average length in words.

    Raises:
        ItemError: an item is no pair of references and prediction.
    """
    from sacrebleu.metrics import TER

    metric = TER()
    rows = []
    for index, item in enumerate(items):
        references, prediction = _texts(item, index)
        score = metric.sentence_score(prediction, references)
        rows.append((float(score.num_edits), float(score.ref_length)))
    return rows


def ter(sums: Sequence[float]) -> float:
    """100 × edits / words of the references (Snover et al. 2006); 100 when only the references are empty, 0 when all
    is."""
    edits, words = sums
    if words > 0:
        return 100 * (edits / words)
    return 100.0 if edits > 0 else 0.0


def _texts(item: Item, index: int) -> tuple[list[str], str]:
    references, prediction = pair(item, index, ("references", "prediction"), _EXPECTED)
    if isinstance(references, str):
        references = [references]
    if isinstance(prediction, (list, tuple)) and len(prediction) == 1:
        prediction = prediction[0]
    texts = isinstance(references, (list, tuple)) and references and all(isinstance(text, str) for text in references)
    if not texts or not isinstance(prediction, str):
        raise ItemError(index, item, _EXPECTED)
    return list(references), prediction


def _character_grams(text: str) -> list[Counter[str]]:
    line = "".join(text.split())
    return [Counter(line[i : i + n] for i in range(len(line) - n + 1)) for n in range(1, _CHARACTERS + 1)]


def _matches(predicted: Sequence[Counter[str]], reference: Sequence[Counter[str]]) -> list[float]:
    row = []
    for mine, theirs in zip(predicted, reference, strict=True):
        # An order that the reference is too short for does not count against the prediction.
        row += [mine.total() if theirs else 0, theirs.total(), (mine & theirs).total()]
    return [float(count) for count in row]
