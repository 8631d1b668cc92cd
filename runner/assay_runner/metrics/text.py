"""Scores of a short written answer against one or several references: equality, containment, overlap, numbers, edits.

The best reference counts. Scores are 0 to 1, higher is better.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence

from assay_runner.statistics.items import Item

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def references_of(references: Item) -> list[str]:
    """The references as texts: one value is one reference, a list holds several.

    Raises:
        ValueError: there is none.
    """
    several = references if isinstance(references, (list, tuple)) else [references]
    if not several:
        raise ValueError("the document has no reference to compare with")
    return [str(reference) for reference in several]


def exact_match(
    prediction: Item,
    references: Item,
    *,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
    regexes_to_ignore: str | Sequence[str] = (),
) -> float:
    """1 when the prediction equals a reference after both were stripped of what is to be ignored, else 0.

    In the order of Hugging Face's exact_match: matches of the regexes are deleted, then case, then ASCII punctuation,
    then digits. White space counts.
    """
    patterns = [regexes_to_ignore] if isinstance(regexes_to_ignore, str) else regexes_to_ignore

    def kept(text: str) -> str:
        for pattern in patterns:
            text = re.sub(pattern, "", text)
        text = text.lower() if ignore_case else text
        text = text.translate(_PUNCTUATION) if ignore_punctuation else text
        return text.translate(_DIGITS) if ignore_numbers else text

    answer = kept(str(prediction))
    return float(any(kept(reference) == answer for reference in references_of(references)))


def contains(prediction: Item, references: Item, *, ignore_case: bool = False) -> float:
    """1 when a reference occurs in the prediction, else 0."""
    answer, wanted = str(prediction), references_of(references)
    if ignore_case:
        answer, wanted = answer.lower(), [reference.lower() for reference in wanted]
    return float(any(reference in answer for reference in wanted))


def relaxed_accuracy(prediction: Item, references: Item, *, tolerance: float = 0.05) -> float:
    """1 when a reference is a number other than 0 and the prediction within `tolerance` of it (relative), or when they
    are the same text in any case; else 0. "%" divides by 100 (ChartQA, Masry et al. 2022)."""
    answer = str(prediction)
    return float(any(_close(answer, reference, tolerance) for reference in references_of(references)))


def token_f1(prediction: Item, references: Item) -> float:
    """F1 of the words of prediction and reference as bags, lower-cased, without punctuation and English articles
    (SQuAD, Rajpurkar et al. 2016); without words on either side 1 when both have none, else 0."""
    answer = _words(str(prediction))
    return max(_overlap(answer, _words(reference)) for reference in references_of(references))


def anls(prediction: Item, references: Item, *, threshold: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one document (Biten et al. 2019): 1 − edits / length of the longer
    text, and 0 below `threshold`.

    As the challenge's own evaluation does it: edits are counted on lower-cased text with white space collapsed,
    lengths on the text as it is, and a similarity of exactly `threshold` stands.
    """
    answer = str(prediction)
    best = max(_similarity(answer, reference) for reference in references_of(references))
    return best if best >= threshold else 0.0


def levenshtein_distance(first: str, second: str) -> int:
    """Fewest insertions, deletions and substitutions of characters that turn one text into the other."""
    row = list(range(len(second) + 1))
    for i, mine in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (mine != theirs))
    return row[-1]


def _similarity(answer: str, reference: str) -> float:
    longer = max(len(answer), len(reference))
    if not longer:
        return 1.0
    edits = levenshtein_distance(" ".join(answer.lower().split()), " ".join(reference.lower().split()))
    return 1 - edits / longer


def _close(answer: str, reference: str, tolerance: float) -> bool:
    given, wanted = _number(answer), _number(reference)
    if given is not None and wanted:
        return abs(given - wanted) / abs(wanted) <= tolerance
    return answer.lower() == reference.lower()


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _overlap(answer: Sequence[str], reference: Sequence[str]) -> float:
    if not answer or not reference:
        return float(list(answer) == list(reference))
    common = (Counter(answer) & Counter(reference)).total()
    return 2 * common / (len(answer) + len(reference))
