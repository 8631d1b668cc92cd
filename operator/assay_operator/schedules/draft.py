"""One decision about a schedule while it is being made: what to do, what to tell, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from assay_api.schedule_status import MOST_SHOWN, EvalScheduleStatus, ScheduleCondition, WatchStatus
from assay_operator.schedules.seen import Child, Seen
from assay_operator.summary import shortened
from assay_operator.told import Telling

Kind = Literal["Accepted", "Watching", "OnTime"]
_ORDER: tuple[Kind, ...] = ("Accepted", "Watching", "OnTime")


@dataclass(frozen=True, slots=True)
class StartJob:
    """Make the EvalJob with this number; it is already there when somebody else was faster."""

    number: int
    due: datetime | None = None
    """The time that it is for."""
    checkpoint: str | None = None
    """Name of the checkpoint that it is for."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Remove exactly this EvalJob."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class StartWatcher:
    """Make the watching Job, which tells of checkpoints above this number."""

    after: int


@dataclass(frozen=True, slots=True)
class DeleteWatcher:
    """Remove exactly this watching Job and its pod."""

    name: str
    uid: str


Action = StartJob | DeleteJob | StartWatcher | DeleteWatcher


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, what to tell, and when to look again even if nothing happens."""

    status: EvalScheduleStatus
    actions: tuple[Action, ...] = ()
    requeue: float | None = None
    """Seconds."""
    events: tuple[Telling, ...] = ()


class Draft:
    """A decision in the making."""

    def __init__(self, seen: Seen, now: datetime) -> None:
        self.seen, self.spec, self.now = seen, seen.schedule.spec, now
        self.last_schedule_time = seen.status.last_schedule_time
        self.watch: WatchStatus | None = seen.status.watch
        self.held = self.spec.suspend
        """Whether nothing may be started."""
        self._conditions: dict[str, ScheduleCondition] = {each.type: each for each in seen.status.conditions}
        self._actions: list[Action] = []
        self._events: list[Telling] = []
        self._requeue: float | None = None

    def act(self, *actions: Action) -> None:
        """Ask for something to be done."""
        self._actions += actions

    def tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Have an Event written, if the decision is."""
        self._events.append(Telling(warning, reason, message))

    def look_again(self, seconds: float) -> None:
        """Decide again after so long, or earlier."""
        self._requeue = seconds if self._requeue is None else min(self._requeue, seconds)

    def beside(self, number: int) -> tuple[Child, ...]:
        """EvalJobs that have not ended, apart from the one with this number, which may have been made already."""
        return tuple(child for child in self.seen.active if child.number != number)

    def condition(self, kind: Kind) -> ScheduleCondition | None:
        """How `kind` is."""
        return self._conditions.get(kind)

    def set(self, kind: Kind, status: Literal["True", "False", "Unknown"], reason: str, message: str = "") -> None:
        """Say how `kind` is now; a change for the worse is an Event too."""
        before = self._conditions.get(kind)
        same = before is not None and before.status == status
        if kind == "Watching" and status == "True" and not same:
            self.tell(reason, message)
        if status == "False" and message and not (before and same and before.reason == reason):
            self.tell(reason, message, warning=reason != "WaitsForItsTurn")
        self._conditions[kind] = ScheduleCondition.model_validate(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": before.last_transition_time if before and same else self.now,
                "observedGeneration": self.seen.generation,
            }
        )

    def finish(self) -> Decision:
        """The decision."""
        seen, active = self.seen, self.seen.active
        ends = [child.completed for child in seen.children if child.succeeded and child.completed]
        successes = [*ends, *([seen.status.last_successful_time] if seen.status.last_successful_time else [])]
        conditions = [self._conditions[kind] for kind in _ORDER if kind in self._conditions]
        status = seen.status.model_copy(
            update={
                "observed_generation": seen.generation,
                "conditions": conditions,
                "active": [child.name for child in active][:MOST_SHOWN],
                "active_count": len(active),
                "last_schedule_time": self.last_schedule_time,
                "last_successful_time": max(successes, default=None),
                "watch": self.watch,
                "note": _note(conditions),
            }
        )
        return Decision(status, tuple(self._actions), self._requeue, tuple(self._events))


def refused(seen: Seen, now: datetime, kind: Kind, why: str, seconds: float) -> Decision:
    """What is told when a Job could not be made: nothing counts as started, and it is tried again."""
    draft = Draft(seen, now)
    draft.set(kind, "False", "JobRefused", why)
    draft.look_again(seconds)
    return draft.finish()


def _note(conditions: list[ScheduleCondition]) -> str:
    said = (item.message for item in conditions if item.status != "True" and item.message)
    return shortened(next(said, ""))


def plain(status: EvalScheduleStatus) -> dict[str, Any]:
    """The status as it is written."""
    return status.model_dump(mode="json", exclude_none=True)
