"""What the reducer keeps of a task's records while it reads them: items by metric, clusters, errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from assay_api.plan import TaskPlan
from assay_api.records import SampleRecord


@dataclass(frozen=True, slots=True)
class Scored:
    """One sample's item for one metric."""

    document: int
    repeat: int
    item: Any
    answer: str | None
    """What the metric's filter kept, for majority votes."""


@dataclass(slots=True)
class TaskTally:
    """The records of one task, fed in planned order."""

    plan: TaskPlan
    items: dict[str, list[Scored]] = field(default_factory=dict)
    """Key of the item in the records (`metric` or `metric,filter`) → items in planned order."""
    clusters: dict[int, str] = field(default_factory=dict)
    """Document → cluster, for tasks with a cluster key."""
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, record: SampleRecord) -> None:
        """Take in the next record."""
        if record.error is not None:
            self.errors[record.error.kind] += 1
            return
        if record.cluster is not None:
            self.clusters[record.document] = record.cluster
        for key, item in record.items.items():
            _, _, filtered = key.partition(",")
            answer = record.filtered.get(filtered or "none")
            kept = answer if answer is None or isinstance(answer, str) else str(answer)
            self.items.setdefault(key, []).append(Scored(record.document, record.repeat, item, kept))
