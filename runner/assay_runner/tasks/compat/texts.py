"""Helpers of lmms-eval's task code for short written answers."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

from assay_runner.metrics import text

_DECLARED = re.compile(
    r"(?:answer|option|choice)\s*(?:is|:|=)\s*(?:option\s*)?[\s*_\"'(\[{$]*(?:\\(?:text|boxed|mathrm)\{)?([A-Za-z])(?![A-Za-z])",
    re.IGNORECASE,
)
_CONTAINED = re.compile(r"(?:<answer>|\\boxed\{)[\s*(]*([A-Za-z])(?![A-Za-z])", re.IGNORECASE)
_LEADING = re.compile(r"^[\s*_\"'(\[]*([A-Za-z])(?:[\s*_\"')\].:,]|$)")
_BRACKETED = re.compile(r"\(([A-Za-z])\)")


def levenshtein_distance(s1: str, s2: str) -> int:
    """Fewest single-character edits that turn one text into the other."""
    return text.levenshtein_distance(s1, s2)


def anls(references: Sequence[Any], predictions: Sequence[Any], thresh_hold: float = 0.5) -> dict[str, float]:
    """Average normalised Levenshtein similarity of one document, as `{"anls": score}`."""
    return {"anls": text.anls(str(predictions[0]), list(references), threshold=thresh_hold)}


def mean(arr: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(arr) / len(arr)


def extract_mcq_answer(response: str, choices: Sequence[str] | None = None) -> str:
    """The letter that an answer chooses, upper case; "" where it chooses none, or several.

    What stands in `<answer>` or a box counts first, then the last "the answer is …", then a letter in front, then one in
    brackets.
    """
    allowed = {choice.upper() for choice in choices or string.ascii_uppercase[:8]}
    given = (response or "").strip()
    for pattern in (_CONTAINED, _DECLARED):
        found = pattern.findall(given)
        if found:
            return found[-1].upper() if found[-1].upper() in allowed else ""
    leading = _LEADING.match(given)
    # "A dog is …" begins with an article.
    if leading and (len(given.strip(" .*()[]_\"':,")) == 1 or not given[leading.end(1) :].startswith(" ")):
        return leading[1].upper() if leading[1].upper() in allowed else ""
    letters = {letter.upper() for letter in _BRACKETED.findall(given)} & allowed
    return letters.pop() if len(letters) == 1 else ""
