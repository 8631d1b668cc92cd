"""Filters: what is kept of an answer before it is scored.

Each takes and gives one entry per document: the list of its answers, or what an earlier filter made of it. Semantics follow
lm-evaluation-harness; where that would stop with an index error (no such match, an empty group), the fallback is kept.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

REDUCING = frozenset({"majority_vote", "take_first_k"})
"""Filters that make one result of a document's repeats."""

DEFAULT_PATTERN = r"#### (\-?[0-9\.\,]+)"


class Filter(Protocol):
    """One step of a pipeline."""

    def apply(self, resps: list[Any], docs: list[Any]) -> Iterable[Any]:
        """Per document the answers → per document what is kept."""
        ...


class Each:
    """Applies a function to every answer."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function

    def apply(self, resps: list[Any], docs: list[Any]) -> list[Any]:
        """As a Filter."""
        return [
            [self._function(one) for one in answers] if isinstance(answers, list) else self._function(answers)
            for answers in resps
        ]


class Whole:
    """Applies a function to a document's list of answers."""

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self._function = function

    def apply(self, resps: list[Any], docs: list[Any]) -> list[Any]:
        """As a Filter."""
        return [self._function(answers) if isinstance(answers, list) else answers for answers in resps]


class MultiChoiceRegex:
    """Finds the option that an answer means: by pattern, else by the option's text, else by its letter after a colon."""

    def __init__(
        self, regex_pattern: str = DEFAULT_PATTERN, group_select: int = 0, fallback: str = "[invalid]",
        ignore_case: bool = False, ignore_punctuation: bool = False, regexes_to_ignore: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self._pattern, self._select, self._fallback = re.compile(regex_pattern), group_select, fallback
        self._case, self._ignore_punctuation = ignore_case, ignore_punctuation
        self._ignored = [re.compile(pattern) for pattern in regexes_to_ignore or ()]

    def apply(self, resps: list[Any], docs: list[Any]) -> list[Any]:
        """As a Filter; documents have their options in `choices`."""
        return [
            [self._one(one, doc) for one in answers] if isinstance(answers, list) else self._one(answers, doc)
            for answers, doc in zip(resps, docs, strict=True)
        ]

    def _one(self, answer: str, doc: Mapping[str, Any]) -> str:
        options = doc["choices"]
        if isinstance(options, Mapping):
            options = options["text"]
        letters = string.ascii_uppercase[: len(options)]
        texts = {
            self._clean(str(option).strip()): f"({letter})" for letter, option in zip(letters, options, strict=True)
        }
        by_text = re.compile("|".join(re.escape(text) for text in texts))
        after_colon = re.compile(rf":[\s]*({'|'.join(letters)})")
        found = selected(self._pattern, answer, self._select)
        if not found:
            found = selected(by_text, self._clean(answer), self._select)
            found = texts.get(found, found) if found else None
        if not found:
            found = selected(after_colon, answer, self._select)
            found = f"({found})" if found else None
        return found or self._fallback

    def _clean(self, text: str) -> str:
        for pattern in self._ignored:
            text = pattern.sub("", text)
        text = text.lower() if self._case else text
        return text.translate(punctuation()) if self._ignore_punctuation else text


def selected(pattern: re.Pattern[str], text: str, select: int) -> str | None:
    """The `select`-th match of a pattern: its first group that matched something, or all of it; None without one."""
    matches = pattern.findall(text)
    if not -len(matches) <= select < len(matches):
        return None
    match = matches[select]
    if isinstance(match, tuple):
        match = next((part for part in match if part), None)
    return None if match is None else str(match).strip()


def regex(regex_pattern: str = DEFAULT_PATTERN, group_select: int = 0, fallback: str = "[invalid]") -> Filter:
    """Keeps the `group_select`-th match of a pattern, else the fallback."""
    pattern = re.compile(regex_pattern)

    def one(answer: Any) -> str:
        found = selected(pattern, answer, group_select) if isinstance(answer, str) else None
        return fallback if found is None else found

    return Each(one)


def strip_tags(text: str, tags: Iterable[Sequence[str]]) -> str:
    """The text without what stands between each pair of tags and the space around what is left; also without what stands
    before an end tag that nothing opened, because some chat templates open it. A text without tags is returned as it is.
    """
    stripped = text
    for start, end in tags:
        if end not in stripped:
            continue
        stripped = re.sub(rf"{re.escape(start)}.*?{re.escape(end)}", "", stripped, flags=re.DOTALL)
        stripped = stripped.rpartition(end)[2]
    return text if stripped == text else stripped.strip()


def majority(answers: Sequence[str]) -> list[str]:
    """The most frequent answer; of equally frequent ones the one that came first."""
    counts = Counter(answers)
    return [max(answers, key=counts.__getitem__)] if answers else []


def take_first_k(k: int = 1) -> Filter:
    """Keeps the first k answers."""
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k is {k!r}, and should be a whole number from 1")
    return Whole(lambda answers: list(answers[:k]))


def mapped(mapping_dict: Mapping[str, Any], default_value: Any = None) -> Filter:
    """Replaces an answer by what the mapping has for it."""
    return Each(lambda answer: mapping_dict.get(answer, default_value))


@cache
def punctuation() -> dict[int, None]:
    """Punctuation of all scripts (Unicode category P, so without $, +, < and the like)."""
    return dict.fromkeys(code for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P"))


BUILT_IN: Mapping[str, Callable[..., Filter]] = {
    "take_first": lambda: Whole(lambda answers: answers[0] if answers else ""),
    "take_first_k": take_first_k,
    "majority_vote": lambda: Whole(majority),
    "regex": regex,
    "multi_choice_regex": MultiChoiceRegex,
    "remove_whitespace": lambda: Each(str.lstrip),
    "lowercase": lambda: Each(str.lower),
    "uppercase": lambda: Each(str.upper),
    "map": mapped,
    "strip_thinking": lambda tags=(("<think>", "</think>"),): Each(lambda answer: strip_tags(answer, tags)),
}
"""Filter name → factory that takes the options of the task file."""
