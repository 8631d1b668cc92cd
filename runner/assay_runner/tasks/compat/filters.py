"""lmms-eval's filter classes, for task code that derives its own from them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay_runner.tasks import filters


class Filter:
    """Base of all filters."""

    def __init__(self, **kwargs: Any) -> None:
        """Options of the task file."""

    def apply(self, resps: list[Any], docs: list[Any]) -> Any:
        """Per document the answers → per document what is kept."""
        return resps


class _Wrapped(Filter):
    inner: filters.Filter

    def apply(self, resps: list[Any], docs: list[Any]) -> Any:
        return self.inner.apply(list(map(list, resps)), docs)


class RegexFilter(_Wrapped):
    """Keeps the `group_select`-th match of a pattern, else the fallback."""

    def __init__(
        self, regex_pattern: str = filters.DEFAULT_PATTERN, group_select: int = 0, fallback: str = "[invalid]"
    ) -> None:
        self.regex_pattern, self.group_select, self.fallback = regex_pattern, group_select, fallback
        self.regex = re.compile(regex_pattern)
        self.inner = filters.regex(regex_pattern, group_select, fallback)


class ExtendedRegexFilter(RegexFilter):
    """What derived filters use to clean texts and find matches in them."""

    def __init__(
        self, regex_pattern: str = filters.DEFAULT_PATTERN, group_select: int = 0, fallback: str = "[invalid]",
        ignore_case: bool = False, ignore_punctuation: bool = False, regexes_to_ignore: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(regex_pattern, group_select, fallback)
        self.ignore_case, self.ignore_punctuation = ignore_case, ignore_punctuation
        self.regexes_to_ignore = regexes_to_ignore

    @property
    def punct_tbl(self) -> dict[int, None]:
        """Translation table that deletes punctuation."""
        return filters.punctuation()

    def filter_ignores(self, st: str) -> str:
        """The text without what is to be ignored."""
        for pattern in self.regexes_to_ignore or ():
            st = re.sub(pattern, "", st)
        st = st.lower() if self.ignore_case else st
        return st.translate(self.punct_tbl) if self.ignore_punctuation else st

    def find_match(self, regex: re.Pattern[str], resp: str, convert_dict: Mapping[str, str] | None = None) -> Any:
        """The selected match, converted; an empty list when there is none."""
        found = filters.selected(regex, resp, self.group_select)
        return [] if found is None else (convert_dict or {}).get(found, found)


class MultiChoiceRegexFilter(ExtendedRegexFilter):
    """Finds the option that an answer means among the document's `choices`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inner = filters.MultiChoiceRegex(
            self.regex_pattern, self.group_select, self.fallback,
            self.ignore_case, self.ignore_punctuation, self.regexes_to_ignore,
        )  # fmt: skip


class WhitespaceFilter(_Wrapped):
    """Removes one leading space."""

    def __init__(self) -> None:
        self.inner = filters.Each(lambda answer: answer.removeprefix(" "))


class LowercaseFilter(_Wrapped):
    """Lower case."""

    def __init__(self) -> None:
        self.inner = filters.Each(str.lower)


class UppercaseFilter(_Wrapped):
    """Upper case."""

    def __init__(self) -> None:
        self.inner = filters.Each(str.upper)


class MapFilter(_Wrapped):
    """Replaces answers by what a mapping has for them."""

    def __init__(self, mapping_dict: Mapping[str, Any] | None = None, default_value: Any = None) -> None:
        self.mapping_dict, self.default_value = mapping_dict or {}, default_value
        self.inner = filters.mapped(self.mapping_dict, default_value)


class TakeFirstFilter(_Wrapped):
    """Keeps the first answer."""

    def __init__(self) -> None:
        self.inner = filters.BUILT_IN["take_first"]()


class TakeKFilter(_Wrapped):
    """Keeps the first k answers."""

    def __init__(self, k: int = 1, **kwargs: Any) -> None:
        self.k = k
        self.inner = filters.take_first_k(k)


class MajorityVoteFilter(_Wrapped):
    """Keeps the most frequent answer."""

    def __init__(self) -> None:
        self.inner = filters.BUILT_IN["majority_vote"]()
