"""Where an answer ends: text is cut at the earliest stop string, whichever backend produced it."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """`text` up to its earliest stop string, and whether there was one. Empty stop strings stop nothing."""
    ends = [place for string in stop if string and (place := text.find(string)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)
