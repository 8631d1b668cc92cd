"""Filters: what is kept of an answer before it is scored.

Each takes and gives one entry per document: the list of its answers, or what an earlier filter made of it. Semantics follow
lm-evaluation-harness.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

REDUCING = frozenset({"majority_vote", "take_first_k"})
"""Filters that make one result of a document's repeats."""


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
        return [[self._function(one) for one in answers] if isinstance(answers, list) else self._function(answers) for answers in resps]


class Whole:
    """Applies a function to a document's list of answers."""

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self._function = function

    def apply(self, resps: list[Any], docs: list[Any]) -> list[Any]:
        """As a Filter."""
        return [self._function(answers) if isinstance(answers, list) else answers for answers in resps]


class MultiChoiceRegex:
    """Finds the option that an answer means: by pattern, by the option's text, by its letter in brackets or alone."""

    def __init__(
        self, regex_pattern: str = r"#### (\-?[0-9\.\,]+)", group_select: int = 0, fallback: str = "[invalid]",
        ignore_case: bool = False, ignore_punctuation: bool = False, regexes_to_ignore: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self._pattern, self._select, self._fallback = re.compile(regex_pattern), group_select, fallback
        self._case, self._punctuation, self._ignored = ignore_case, ignore_punctuation, list(regexes_to_ignore or ())

    def apply(self, resps: list[Any], docs: list[Any]) -> list[Any]:
        """As a Filter; documents have their options in `choices`."""
        return [[self._one(one, doc) for one in answers] for answers, doc in zip(resps, docs, strict=True)]

    def _one(self, answer: str, doc: Mapping[str, Any]) -> str:
        options = doc.get("choices") or []
        if isinstance(options, Mapping):
            options = options.get("text") or []
        letters = string.ascii_uppercase[: len(options)]
        texts = {self._clean(str(option)): f"({letter})" for letter, option in zip(letters, options, strict=True)}
        found = selected(self._pattern, answer, self._select)
        if found is None and texts:
            by_text = re.compile("|".join(re.escape(text) for text in texts if text) or r"(?!)")
            matches = by_text.findall(self._clean(answer))
            found = texts[matches[self._select]] if matches else None
        if found is None and letters:
            bare = re.findall(rf":[\s]*({'|'.join(letters)})", answer)
            found = f"({bare[self._select]})" if bare else None
        return found if found is not None else self._fallback

    def _clean(self, text: str) -> str:
        for pattern in self._ignored:
            text = re.sub(pattern, "", text)
        text = text.lower() if self._case else text
        return text.translate(str.maketrans("", "", string.punctuation)) if self._punctuation else text


def selected(pattern: re.Pattern[str], text: str, select: int) -> str | None:
    """The `select`-th match of a pattern: its first non-empty group, or all of it; None without a match."""
    matches = pattern.findall(text)
    if not matches or not -len(matches) <= select < len(matches):
        return None
    match = matches[select]
    if isinstance(match, tuple):
        match = next((part for part in match if part), "")
    return str(match).strip()


def regex(
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)", group_select: int = 0, fallback: str = "[invalid]"
) -> Filter:
    """Keeps the `group_select`-th match of a pattern, else the fallback."""
    pattern = re.compile(regex_pattern)

    def one(answer: str) -> str:
        found = selected(pattern, answer if isinstance(answer, str) else "", group_select)
        return fallback if found is None else found

    return Each(one)


def strip_tags(text: str, tags: Iterable[Sequence[str]]) -> str:
    """The text without what stands between each pair of tags, an unopened end tag included."""
    for start, end in tags:
        text = re.sub(rf"{re.escape(start)}.*?{re.escape(end)}", "", text, flags=re.DOTALL)
        if end in text:
            text = text.rpartition(end)[2]
    return text.strip()


def majority(answers: Sequence[str]) -> list[str]:
    """The most frequent answer; of equally frequent ones the one that came first."""
    counts = Counter(answers)
    return [max(answers, key=counts.__getitem__)] if answers else []


def _map(mapping_dict: Mapping[str, Any], default_value: Any = None) -> Filter:
    return Each(lambda answer: mapping_dict.get(answer, default_value))


BUILT_IN: Mapping[str, Callable[..., Filter]] = {
    "take_first": lambda: Whole(lambda answers: answers[0] if answers else ""),
    "take_first_k": lambda k=1: Whole(lambda answers: list(answers[:k])),
    "majority_vote": lambda: Whole(majority),
    "regex": regex,
    "multi_choice_regex": MultiChoiceRegex,
    "remove_whitespace": lambda: Each(str.lstrip),
    "lowercase": lambda: Each(str.lower),
    "uppercase": lambda: Each(str.upper),
    "map": _map,
    "strip_thinking": lambda tags=(("<think>", "</think>"),): Each(lambda answer: strip_tags(answer, tags)),
}
"""Filter name → factory that takes the options of the task file."""
