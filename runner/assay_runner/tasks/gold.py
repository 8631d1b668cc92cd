"""What a document's target means among its choices: an index, the text of a choice, or its letter."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from assay_runner.tasks.errors import TaskError


def gold_of(target: Any, choices: Sequence[str]) -> int | list[int]:
    """The index of the right choice, or of all right ones.

    Raises:
        TaskError: the target is none of the choices.
    """
    if isinstance(target, list):
        return [_index(one, choices) for one in target]
    return _index(target, choices)


def gold_texts(target: Any, choices: Sequence[str] | None) -> Any:
    """The target as text (or texts): of the choices that it names, where there are choices and it is an index.

    Raises:
        TaskError: an index is none of the choices.
    """
    if isinstance(target, list):
        return [gold_texts(one, choices) for one in target]
    if target is None:
        return ""
    if choices is not None and isinstance(target, int):
        return choices[_index(target, choices)]
    return str(target)


def _index(target: Any, choices: Sequence[str]) -> int:
    texts = list(choices)
    if (isinstance(target, str | bool)) and str(target) in texts:
        return texts.index(str(target))
    if isinstance(target, int) and 0 <= target < len(texts):
        return int(target)
    # A letter stands for a place only where no choice is written like it.
    if isinstance(target, str) and len(target) == 1 and target in string.ascii_uppercase[: len(texts)]:
        return string.ascii_uppercase.index(target)
    raise TaskError("TaskError", f"the target {str(target)[:60]!r} is none of the {len(texts)} choices")
