"""The conditions of an EvalJob: set by type, with the time of the last change kept while nothing changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from assay_api.status import Condition

Truth = Literal["True", "False", "Unknown"]
Kind = Literal[
    "Accepted", "Planned", "QuotaReserved", "Running", "ChunksCommitted", "Reduced", "GatesPassed", "Complete", "Failed",
    "Suspended",
]  # fmt: skip

ORDER: tuple[Kind, ...] = (
    "Accepted", "Planned", "QuotaReserved", "Running", "ChunksCommitted", "Reduced", "GatesPassed", "Complete", "Failed",
    "Suspended",
)  # fmt: skip


class Conditions:
    """A set of conditions under change; `now` is the time of this decision."""

    def __init__(self, before: Iterable[Condition], generation: int, now: datetime) -> None:
        self._by_type: dict[str, Condition] = {condition.type: condition for condition in before}
        self._generation, self._now = generation, now

    def set(self, kind: Kind, status: Truth, reason: str, message: str = "") -> None:
        """Say how `kind` is now."""
        before = self._by_type.get(kind)
        since = before.last_transition_time if before and before.status == status else self._now
        self._by_type[kind] = Condition.model_validate(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": self._generation,
            }
        )

    def drop(self, kind: Kind) -> None:
        """Say nothing about `kind` any more."""
        self._by_type.pop(kind, None)

    def is_true(self, kind: Kind) -> bool:
        """Whether `kind` holds."""
        return is_true(self._by_type.values(), kind)

    def list(self) -> list[Condition]:
        """All of them, in the order of a job's life."""
        return [self._by_type[kind] for kind in ORDER if kind in self._by_type]


def find(conditions: Iterable[Condition], kind: Kind) -> Condition | None:
    """The condition of this type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: Kind) -> bool:
    """Whether the condition of this type holds."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"
