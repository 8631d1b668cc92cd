"""Counts of errors by class that stay bounded: task code may bring any number of classes of its own."""

from __future__ import annotations

from assay_api.exposition import LONGEST_CLASS, MOST_CLASSES

OTHER = "other"
"""The last of the classes that are told apart."""


def count_class(errors: dict[str, int], kind: str, count: int = 1) -> None:
    """Count errors of the class `kind` in `errors`."""
    name = kind[:LONGEST_CLASS] or OTHER
    if name not in errors and len(errors) >= MOST_CLASSES - 1:
        name = OTHER
    errors[name] = errors.get(name, 0) + count
