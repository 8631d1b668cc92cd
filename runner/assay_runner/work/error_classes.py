"""Counts of errors by class that stay bounded: task code may bring any number of classes of its own."""

from __future__ import annotations

MOST = 16
"""Classes that are told apart, the last of them `OTHER`."""
OTHER = "other"
_LONGEST = 64


def count_class(errors: dict[str, int], kind: str, count: int = 1) -> None:
    """Count errors of the class `kind` in `errors`."""
    name = kind[:_LONGEST]
    if name not in errors and len(errors) >= MOST - 1:
        name = OTHER
    errors[name] = errors.get(name, 0) + count
