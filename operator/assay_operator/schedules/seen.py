"""Everything one decision about a schedule is made from, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from assay_api.evalschedule import EvalSchedule
from assay_api.runtime import ClusterEvalRuntime
from assay_api.schedule_status import EvalScheduleStatus
from assay_operator.schedules.names import number_of
from assay_operator.views import JobView, PodView, moment

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Child:
    """An EvalJob that the schedule has started."""

    name: str
    uid: str
    number: int
    created: datetime | None = None
    deleting: bool = False
    succeeded: bool = False
    failed: bool = False
    completed: datetime | None = None
    """When it ended."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self.succeeded or self.failed


@dataclass(frozen=True, slots=True)
class Seen:
    """One EvalSchedule and all that belongs to it."""

    schedule: EvalSchedule
    status: EvalScheduleStatus
    uid: str
    generation: int
    created: datetime
    deleting: bool = False
    runtime: ClusterEvalRuntime | None = None
    children: tuple[Child, ...] = ()
    """Oldest first."""
    watcher: JobView | None = None
    pods: tuple[PodView, ...] = ()
    """Of the watcher, oldest first."""
    complaints: Mapping[str, str] = field(default_factory=dict)
    """uid of a pod or Job → the last warning event about it, where its status says nothing."""

    @property
    def active(self) -> tuple[Child, ...]:
        """The EvalJobs that have not ended."""
        return tuple(child for child in self.children if not child.ended)


def child_view(raw: Raw, schedule: str, uid: str) -> Child | None:
    """The view of an EvalJob that the schedule controls; None of any other, since anybody can write a label."""
    meta, status = raw.get("metadata") or {}, raw.get("status") or {}
    owner: Raw = next((ref for ref in meta.get("ownerReferences") or [] if ref.get("controller")), {})
    number = number_of(schedule, meta.get("name", ""))
    if owner.get("uid") != uid or number is None:
        return None
    holds = {item.get("type") for item in status.get("conditions") or [] if item.get("status") == "True"}
    return Child(
        name=meta["name"],
        uid=meta.get("uid", ""),
        number=number,
        created=moment(meta.get("creationTimestamp")),
        deleting=bool(meta.get("deletionTimestamp")),
        succeeded="Complete" in holds,
        failed="Failed" in holds,
        completed=moment(status.get("completionTime")),
    )
