"""`EvalSchedule`: EvalJobs from a template, at the times of a cron expression or for every checkpoint as it lands.

The rules of CronJob (concurrency, missed runs, histories) are taken over with their names, so that whoever knows the one
knows the other. What stands for the checkpoint in a template is replaced here too: operator and tests mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from assay_api.base import Spec
from assay_api.cron import CronExpression, ZoneName
from assay_api.evaljob import EvalJobSpec, ObjectMeta
from assay_api.pods import LABELS_ARE_THE_USERS, refuse_own_labels
from assay_api.rules import Rule, checked
from assay_api.schedule_status import EvalScheduleStatus
from assay_api.texts import LabelValue, Name, QualifiedName, StoreUri

LONGEST_NAME = 52
"""Characters of a schedule's name: with what is put behind it an EvalJob's name stays a label's value."""

TRIGGER_IS_ONE = Rule(
    "has(self.cron) != has(self.watch)",
    "a schedule has both or neither of cron and watch; give exactly one",
)
DEADLINE_IS_OF_CRON = Rule(
    "!has(self.startingDeadlineSeconds) || has(self.cron)",
    "startingDeadlineSeconds is for cron, and a checkpoint is never too late; remove it",
    ".startingDeadlineSeconds",
)
TRIGGER_STAYS = Rule(
    "has(self.watch) == has(oldSelf.watch)",
    "a schedule cannot change from cron to watch or back; make another EvalSchedule",
)
WATCHED_STAYS = Rule(
    "self.uri == oldSelf.uri",
    "the numbers of checkpoints belong to the prefix that is watched; make another EvalSchedule for another one",
    ".uri",
)
NAME_IS_SHORT = Rule(
    f"size(self.metadata.name) <= {LONGEST_NAME}",
    f"the name has more than {LONGEST_NAME} characters; shorten it, since names of EvalJobs are made of it",
)
_FILE_NAME = r"^[^/\n]+$"

_PLACE = re.compile(r"\$\((CHECKPOINT_URI|CHECKPOINT_NAME)\)")


class Cron(Spec):
    """Times at which an EvalJob is started."""

    schedule: CronExpression = Field(
        description="Minute, hour, day of month, month and day of week, such as 0 6 * * 1-5; or @hourly, @daily, @weekly."
    )
    time_zone: ZoneName | None = Field(
        default=None, description="Time zone of these times, such as Europe/Berlin; default: UTC."
    )


class Watch(Spec):
    """A prefix below which checkpoints land; each gets an EvalJob, those that are there already first."""

    model_config = Spec.model_config | {"json_schema_extra": checked(WATCHED_STAYS)}

    uri: StoreUri = Field(
        description="s3://bucket/prefix, on the server and with the credentials of the template's storage, or "
        "file:///folder on a volume of the runtime."
    )
    pattern: Annotated[str, StringConstraints(pattern=_FILE_NAME, min_length=1, max_length=253)] = Field(
        default="checkpoint-*",
        description="Names directly below the prefix that are checkpoints, folders or single objects; * and ? are wild.",
    )
    ready_file: Annotated[str, StringConstraints(pattern=_FILE_NAME, min_length=1, max_length=253)] | None = Field(
        default=None,
        description="File in a checkpoint's folder that says it is complete; without it, see settleSeconds.",
    )
    settle_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="Without readyFile a checkpoint counts when nothing in it has changed for so many seconds.",
    )
    poll_seconds: int = Field(default=60, ge=1, le=3600, description="Seconds between two looks at the prefix.")


class TemplateMeta(Spec):
    """What the EvalJobs bear beside the operator's own labels."""

    labels: dict[QualifiedName, LabelValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels of the EvalJobs.",
        json_schema_extra=checked(LABELS_ARE_THE_USERS),
    )
    annotations: dict[QualifiedName, Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="Annotations of the EvalJobs."
    )

    @field_validator("labels")
    @classmethod
    def _labels_are_the_users(cls, labels: dict[str, str]) -> dict[str, str]:
        return refuse_own_labels(labels)


class EvalJobTemplate(Spec):
    """The EvalJobs that are started."""

    metadata: TemplateMeta = Field(default=TemplateMeta(), description="Their labels and annotations.")
    spec: EvalJobSpec = Field(
        description="Their spec. With watch, $(CHECKPOINT_URI) and $(CHECKPOINT_NAME) in model.name, model.args and "
        "model.server.args stand for the checkpoint."
    )


class EvalScheduleSpec(Spec):
    """When EvalJobs are started, and which."""

    model_config = Spec.model_config | {
        "json_schema_extra": checked(TRIGGER_IS_ONE, DEADLINE_IS_OF_CRON, TRIGGER_STAYS)
    }

    cron: Cron | None = Field(default=None, description="Start them at these times; a schedule has this or watch.")
    watch: Watch | None = Field(
        default=None, description="Start one for every checkpoint below a prefix; a schedule has this or cron."
    )
    template: EvalJobTemplate = Field(description="The EvalJobs that are started.")
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = Field(
        default="Allow",
        description="While an EvalJob has not ended: start the next beside it (Allow), have it wait (Forbid), or delete "
        "the one that runs (Replace).",
    )
    suspend: bool = Field(
        default=False, description="Starts nothing and ends the watching pod; EvalJobs that were started go on."
    )
    starting_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=365 * 24 * 3600,
        description="A run of cron that is so many seconds late is not started; default: however late.",
    )
    successful_jobs_history_limit: int = Field(
        default=3, ge=0, le=1000, description="Completed EvalJobs that are kept; results in the store stay."
    )
    failed_jobs_history_limit: int = Field(
        default=1, ge=0, le=1000, description="Failed EvalJobs that are kept; records in the store stay."
    )

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if (self.cron is None) == (self.watch is None):
            raise ValueError(TRIGGER_IS_ONE.sentence)
        if self.starting_deadline_seconds is not None and self.cron is None:
            raise ValueError(DEADLINE_IS_OF_CRON.sentence)
        return self


class ScheduleMeta(ObjectMeta):
    """Identity of the object."""

    name: Annotated[Name, StringConstraints(max_length=LONGEST_NAME)] = Field(
        description="Name of the schedule; names of its EvalJobs begin with it."
    )


class EvalSchedule(Spec):
    """EvalJobs at the times of a cron expression, or for every checkpoint as it lands."""

    model_config = Spec.model_config | {"json_schema_extra": checked(NAME_IS_SHORT)}

    api_version: Literal["assay.dev/v1alpha1"] = Field(description="assay.dev/v1alpha1")
    kind: Literal["EvalSchedule"] = Field(description="EvalSchedule")
    metadata: ScheduleMeta = Field(description="Identity of the schedule.")
    spec: EvalScheduleSpec = Field(description="When EvalJobs are started, and which.")
    status: EvalScheduleStatus | None = Field(default=None, description="What the operator observed.")


def checkpoint_address(uri: str, name: str) -> str:
    """A checkpoint as a model's name takes it: an s3:// address, or the folder's path on a volume."""
    root = "/" + uri.removeprefix("file:").lstrip("/") if uri.startswith("file:") else uri
    return f"{root.rstrip('/')}/{name}"


def mentions_checkpoint(spec: EvalJobSpec) -> bool:
    """Whether anything in the template stands for the checkpoint."""
    mentioned: list[str] = []

    def note(text: str) -> str:
        mentioned.extend(_PLACE.findall(text))
        return text

    _each_text(spec, note)
    return bool(mentioned)


def for_checkpoint(spec: EvalJobSpec, address: str, name: str) -> EvalJobSpec:
    """The spec with a checkpoint's address and name in their places."""
    values = {"CHECKPOINT_URI": address, "CHECKPOINT_NAME": name}
    return _each_text(spec, lambda text: _PLACE.sub(lambda found: values[found[1]], text))


def _each_text(spec: EvalJobSpec, change: Callable[[str], str]) -> EvalJobSpec:
    """The spec with every text changed in which a checkpoint may be named. The result is not checked again."""
    model = spec.model
    changes: dict[str, Any] = {"name": change(model.name)}
    if model.args:
        changes["args"] = _in_texts(model.args, change)
    if model.server is not None and model.server.args:
        changes["server"] = model.server.model_copy(update={"args": [change(word) for word in model.server.args]})
    return spec.model_copy(update={"model": model.model_copy(update=changes)})


def _in_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _in_texts(item, change) for key, item in value.items()}
    return [_in_texts(item, change) for item in value] if isinstance(value, list) else value
