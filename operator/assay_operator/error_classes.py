"""Failed samples by class as a status holds them, from numbers that pods tell: bounded, and in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping

from assay_api.status import ErrorClass

_MOST, _LONGEST = 16, 64


def error_classes(found: Mapping[str, float]) -> list[ErrorClass]:
    """The classes by name; a name that nothing of ours gives is passed over."""
    names = sorted(name for name in found if 0 < len(name) <= _LONGEST)
    return [ErrorClass(name=name, count=counted(found[name])) for name in names[:_MOST]]


def counted(value: float) -> int:
    """A number that a pod tells as a count; 0 for nonsense."""
    return int(value) if 0 <= value < 1e15 else 0
