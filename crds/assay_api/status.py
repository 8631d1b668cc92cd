"""`EvalJob.status`: what the operator observed, for people and programs that ask how a job is going.

Written by the operator alone. It is small whatever the job's size: counts, headline results and the address of the rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from assay_api.base import Spec
from assay_api.exposition import LONGEST_CLASS, MOST_CLASSES
from assay_api.gates import MOST_GATES, GateName
from assay_api.rules import keyed
from assay_api.texts import Digest, Figure, LongUri, ShortText
from assay_api.verdicts import Verdict


class Observation(Spec):
    """What every condition of Kubernetes holds beside its type."""

    status: Literal["True", "False", "Unknown"] = Field(
        description="Whether it holds; Unknown when that cannot be seen."
    )
    reason: str = Field(min_length=1, max_length=1024, description="One word for programs.")
    message: str = Field(default="", max_length=32768, description="A sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that it was observed for."
    )


class Condition(Observation):
    """One observed aspect of the job, as Kubernetes conditions are."""

    type: Literal[
        "Accepted",
        "Planned",
        "QuotaReserved",
        "Running",
        "ChunksCommitted",
        "Reduced",
        "GatesPassed",
        "Complete",
        "Failed",
        "Suspended",
    ] = Field(description="What is observed.")


class PlanStatus(Spec):
    """The plan in numbers."""

    digest: Digest = Field(description="SHA-256 of plan.json.")
    spec_digest: Digest = Field(description="SHA-256 of the part of the spec that the plan was made from.")
    run_uri: LongUri = Field(description="Address of the run in the store.")
    samples: int = Field(ge=0, description="Planned samples.")
    chunks: int = Field(ge=0, description="Planned chunks.")
    storage_mode: Literal["conditional", "fallback"] | None = Field(
        default=None,
        description="How the store makes commits unique: by conditional writes, or by a look and a plain write.",
    )


class ErrorClass(Spec):
    """Failed samples of one class."""

    name: str = Field(
        min_length=1, max_length=LONGEST_CLASS, description="Class of the error, such as Timeout or TaskError."
    )
    count: int = Field(ge=0, description="Failed samples of this class.")


class ProgressStatus(Spec):
    """How far the run is; advisory."""

    samples_done: int = Field(default=0, ge=0, description="Samples with a committed record.")
    samples_total: int = Field(default=0, ge=0, description="Planned samples.")
    errors: int = Field(default=0, ge=0, description="Samples that failed.")
    error_classes: list[ErrorClass] = Field(
        default_factory=list, max_length=MOST_CLASSES, description="The same by class.", json_schema_extra=keyed("name")
    )
    retries: int = Field(default=0, ge=0, description="Further tries of samples.")
    chunks_committed: int = Field(default=0, ge=0, description="Committed chunks.")
    tokens_in: int = Field(default=0, ge=0, description="Prompt tokens.")
    tokens_out: int = Field(default=0, ge=0, description="Generated tokens.")
    accelerator_seconds: int = Field(
        default=0, ge=0, description="Seconds from each worker's start to its last commit, times its accelerators."
    )
    samples_per_second: float | None = Field(default=None, description="Rate of late.")
    eta: datetime | None = Field(default=None, description="Expected end.")
    last_commit_time: datetime | None = Field(default=None, description="When the committed samples last grew.")


class WorkersStatus(Spec):
    """Work pods by state."""

    active: int = Field(default=0, ge=0, description="Pods that run.")
    waiting: int = Field(
        default=0, ge=0, description="Pods that do not run yet: they lack a node, an image or a Secret."
    )
    succeeded: int = Field(default=0, ge=0, description="Pods that ended well.")
    failed: int = Field(default=0, ge=0, description="Pods that failed.")
    preempted: int = Field(default=0, ge=0, description="Pods that were evicted and replaced.")


class HeadlineResult(Spec):
    """One row of the results; numbers are strings because Kubernetes objects carry no floats."""

    task: ShortText = Field(description="Name of the task.")
    metric: str = Field(max_length=1024, description="Metric, with its filter when it has one.")
    value: Figure = Field(description="The metric's value.")
    stderr: Figure | None = Field(default=None, description="Standard error.")
    ci_low: Figure | None = Field(default=None, description="Lower end of the 95 % interval.")
    ci_high: Figure | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="Documents behind the value.")
    errors: int = Field(default=0, ge=0, description="Failed samples of the task.")


class GateResult(Spec):
    """The verdict on one gate."""

    name: GateName = Field(description="Name of the gate.")
    task: ShortText = Field(description="Task or group whose score was judged.")
    metric: str = Field(max_length=1024, description="Metric, with its filter when the gate names one.")
    verdict: Verdict = Field(description="passed, failed or cannot tell.")
    message: str = Field(default="", max_length=4096, description="The verdict in words; gates.json has its figures.")


class Summary(Spec):
    """The job in a few words, for the columns of `kubectl get evaljobs`."""

    tasks: str = Field(default="", max_length=1024, description="Names of the tasks, shortened.")
    done: str = Field(default="", max_length=1024, description="Committed of planned samples, such as 1,203/9,673.")
    score: str = Field(
        default="", max_length=1024, description="The first result, such as exact_match 0.9994 ± 0.0005."
    )
    workers: str = Field(default="", max_length=1024, description="Running of wanted work pods, such as 3/5.")
    note: str = Field(default="", max_length=1024, description="What a person should know now, in a sentence.")


class EvalJobStatus(Spec):
    """What the operator observed."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec this status is about.")
    phase: Literal["Pending", "Planning", "Queued", "Running", "Reducing", "Complete", "Failed", "Suspended"] | None = (
        Field(default=None, description="Summary of the conditions for the printer column.")
    )
    conditions: list[Condition] = Field(
        default_factory=list, max_length=16, description="Observed aspects.", json_schema_extra=keyed("type")
    )
    summary: Summary | None = Field(default=None, description="The job in a few words.")
    start_time: datetime | None = Field(default=None, description="When the job started, or was resumed.")
    completion_time: datetime | None = Field(default=None, description="When the job ended, well or not.")
    selector: str | None = Field(default=None, max_length=1024, description="Label selector of the work pods.")
    plan: PlanStatus | None = Field(default=None, description="The plan in numbers.")
    progress: ProgressStatus | None = Field(default=None, description="How far the run is.")
    workers: WorkersStatus | None = Field(default=None, description="Work pods by state.")
    results: list[HeadlineResult] = Field(default_factory=list, max_length=64, description="Headline results.")
    results_omitted: int = Field(default=0, ge=0, description="Results that are in results.json only.")
    gates: list[GateResult] = Field(
        default_factory=list, max_length=MOST_GATES, description="Verdicts on gates.", json_schema_extra=keyed("name")
    )
    results_uri: LongUri | None = Field(default=None, description="Where results.json lies.")
    results_digest: Digest | None = Field(default=None, description="SHA-256 of results.json.")
