"""Checks `spec.model.args` against what a backend knows, so that a misspelt argument is found before anything is
started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError

MANIFEST = "manifest"
"""How errors name the file that a person wrote; the backends see only what is in it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One known argument: what it must be, in words and as a test."""

    meaning: str
    accepts: Callable[[Any], bool]


def check(backend: str, args: Mapping[str, Any], known: Mapping[str, Argument]) -> None:
    """Refuse arguments that are unknown or of the wrong kind.

    Raises:
        SpecError: names the argument and what would be right.
    """
    for name, value in args.items():
        if name not in known:
            raise SpecError(
                MANIFEST,
                f"spec.model.args.{name}",
                f"backend {backend} has no such argument",
                f"known ones are: {', '.join(sorted(known))}",
            )
        if not known[name].accepts(value):
            raise SpecError(
                MANIFEST, f"spec.model.args.{name}", "the value is not allowed", f"it should be {known[name].meaning}"
            )


def is_switch(value: Any) -> bool:
    """Whether `value` is true or false."""
    return isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether `value` is a whole number from 1 to 65536."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65536


def one_of(*choices: str) -> Argument:
    """An argument that is one of `choices`."""
    return Argument(" or ".join(choices), lambda value: isinstance(value, str) and value in choices)
