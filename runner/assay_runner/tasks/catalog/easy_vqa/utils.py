"""Scores easy-VQA's answers, in total and by kind of answer."""

from __future__ import annotations

from typing import Any

_SHAPES = frozenset({"circle", "rectangle", "triangle"})


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 where the answer is the expected word, case and outer space aside."""
    answer = doc["answer"]
    right = float(results[0].strip().lower() == answer)
    kind = "yes_no" if answer in ("yes", "no") else "shape" if answer in _SHAPES else "colour"
    return {"exact_match": right, kind: right}
