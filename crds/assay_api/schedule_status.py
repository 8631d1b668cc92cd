"""`EvalSchedule.status`: what the operator observed of a schedule, small however many EvalJobs it has started."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from assay_api.base import Spec
from assay_api.rules import keyed
from assay_api.status import Observation
from assay_api.texts import CheckpointName, Name

MOST_SHOWN = 64
"""Unfinished EvalJobs, and checkpoints that wait for theirs, that are named in a status."""


class ScheduleCondition(Observation):
    """One observed aspect of the schedule, as Kubernetes conditions are."""

    type: Literal["Accepted", "Watching", "OnTime"] = Field(description="What is observed.")


class PendingCheckpoint(Spec):
    """A checkpoint that was found and waits for its EvalJob."""

    number: int = Field(ge=1, description="Its number, in the order found; the EvalJob's name ends in it.")
    name: CheckpointName = Field(description="Its name below the watched prefix.")


class WatchStatus(Spec):
    """What was found below the watched prefix."""

    found: int = Field(default=0, ge=0, description="Checkpoints that were found and numbered so far.")
    started: int = Field(default=0, ge=0, description="Number up to which EvalJobs were started, or passed over.")
    last_checkpoint: CheckpointName | None = Field(
        default=None, description="The checkpoint for which an EvalJob was last started."
    )
    pending: list[PendingCheckpoint] = Field(
        default_factory=list, max_length=MOST_SHOWN, description="Those that wait for their EvalJob, next first."
    )


class EvalScheduleStatus(Spec):
    """What the operator observed."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec this status is about.")
    conditions: list[ScheduleCondition] = Field(
        default_factory=list, max_length=16, description="Observed aspects.", json_schema_extra=keyed("type")
    )
    active: list[Name] = Field(
        default_factory=list, max_length=MOST_SHOWN, description="EvalJobs of the schedule that have not ended."
    )
    active_count: int = Field(default=0, ge=0, description="How many EvalJobs of the schedule have not ended.")
    last_schedule_time: datetime | None = Field(
        default=None, description="The time for which an EvalJob was last started; for a watch, when it was."
    )
    last_successful_time: datetime | None = Field(
        default=None, description="When an EvalJob of the schedule was last completed."
    )
    watch: WatchStatus | None = Field(default=None, description="What was found below the watched prefix.")
    note: str = Field(default="", max_length=1024, description="What a person should know now, in a sentence.")
