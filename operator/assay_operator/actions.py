"""What a decision can ask for. Each is safe to carry out twice, and on an object that has changed since."""

from __future__ import annotations

from dataclasses import dataclass

from assay_operator.names import Step


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Make the Job of a step; it is already there when somebody else was faster."""

    step: Step


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Remove exactly this Job and its pods."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SetJob:
    """Bring a running Job's replicas and suspension to these values; None leaves a field to whoever else manages it.

    Both are applied together: an applied field that is left out the next time would fall back to its default.
    """

    name: str
    uid: str
    replicas: int | None
    suspend: bool | None


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Hold the EvalJob until its run has been removed from the store, or let it go."""

    present: bool


@dataclass(frozen=True, slots=True)
class SetWorkload:
    """Let Kueue admit the work Job, or hold it."""

    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class DeleteEvalJob:
    """Remove the EvalJob, whose time to live is over."""


Action = CreateJob | DeleteJob | SetJob | SetFinalizer | SetWorkload | DeleteEvalJob
