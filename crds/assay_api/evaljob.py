"""`EvalJob`: what a user asks for: which model, on which tasks, run how, stored where.

The CRD's schema is generated from these models, so bounds and descriptions here are what the API server enforces and what
`kubectl explain` teaches. The same manifest is read by `assay run`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from assay_api.base import Spec

GROUP = "assay.dev"
VERSION = "v1alpha1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
TASK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""Names of tasks: they are parts of keys in the store and of sample ids."""
TaskName = Annotated[str, StringConstraints(pattern=TASK_NAME, min_length=1, max_length=128)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
StoreUri = Annotated[
    str, StringConstraints(pattern=r"^(s3://[a-z0-9][a-z0-9.-]*|file:///?)", min_length=4, max_length=1024)
]


class BackendName(StrEnum):
    """The engines a model can be run with."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    SGLANG = "sglang"
    OPENAI = "openai"


class ObjectMeta(Spec):
    """Identity of the object."""

    model_config = Spec.model_config | {"extra": "ignore"}

    name: Name = Field(description="Name of the job; it is part of the run's address in the store.")
    namespace: Name = Field(default="default", description="Namespace of the job.")
    uid: str | None = Field(default=None, max_length=64, description="Set by the API server.")
    generation: int | None = Field(default=None, description="Set by the API server.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the object.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the object.")


class RuntimeRef(Spec):
    """Which ClusterEvalRuntime provides images and pods."""

    name: Name = Field(default="default", description="Name of a ClusterEvalRuntime.")


class SecretKeyRef(Spec):
    """One key of a Secret in the job's namespace."""

    name: Name = Field(description="Name of the Secret.")
    key: ShortText = Field(description="Key in the Secret.")


class SecretRef(Spec):
    """A Secret in the job's namespace."""

    name: Name = Field(description="Name of the Secret.")


class Endpoint(Spec):
    """An OpenAI-compatible server that already runs."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=1024)] = Field(
        description="Base URL up to and including the version, such as http://server:8000/v1."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret key with the API key. On a laptop the key is OPENAI_API_KEY."
    )
    max_concurrency: int = Field(
        default=64, ge=1, le=65536, description="Requests in flight of the whole job, shared out to its workers."
    )
    timeout_seconds: float = Field(default=600, gt=0, le=86400, description="Limit for one request, in seconds.")


class Model(Spec):
    """The model under evaluation."""

    backend: BackendName = Field(description="Engine: vllm, transformers, sglang or openai.")
    name: Uri = Field(description="Hub id, path or s3:// URI; for openai the name the server knows the model by.")
    revision: ShortText | None = Field(default=None, description="Revision of the model on the hub.")
    args: dict[str, Any] = Field(
        default_factory=dict, max_length=64, description="Arguments of the backend; it refuses what it does not know."
    )
    endpoint: Endpoint | None = Field(default=None, description="The server to ask; for backend openai only.")

    @model_validator(mode="after")
    def _endpoint_belongs_to_openai(self) -> Self:
        if self.backend is BackendName.OPENAI and self.endpoint is None:
            raise ValueError("backend openai has no endpoint; add model.endpoint.url")
        if self.backend is not BackendName.OPENAI and self.endpoint is not None:
            raise ValueError(f"backend {self.backend} takes no endpoint; remove model.endpoint or use backend openai")
        return self


class Generation(Spec):
    """Sampling settings that replace a task's `generation_kwargs`, key by key."""

    model_config = Spec.model_config | {"alias_generator": None}

    max_new_tokens: int | None = Field(default=None, ge=1, le=1_048_576, description="Longest answer, in tokens.")
    temperature: float | None = Field(default=None, ge=0, le=100, description="0 is greedy.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling mass.")
    top_k: int | None = Field(default=None, ge=1, description="Sample among the k likeliest tokens.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=100, description="1 is none.")
    until: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] | None = Field(
        default=None, max_length=16, description="Strings that end an answer."
    )


class TaskRef(Spec):
    """One task (or group of tasks) to run and how much of it."""

    name: TaskName = Field(description="Name of a task, group or tag, shipped or from taskSources.")
    limit: int | None = Field(default=None, ge=1, description="Only the first so many documents.")
    num_fewshot: int | None = Field(default=None, ge=0, le=256, description="Examples in front of each question.")
    repeats: int | None = Field(default=None, ge=1, le=1024, description="Samples per document.")
    generation: Generation | None = Field(default=None, description="Replaces the task's sampling settings.")


class TaskSource(Spec):
    """A folder with the user's own task files."""

    config_map_ref: SecretRef | None = Field(default=None, description="ConfigMap whose keys are task files.")
    uri: Uri | None = Field(
        default=None, description="Folder or s3:// prefix; a relative folder is meant from the manifest."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.config_map_ref is None) == (self.uri is None):
            raise ValueError("a task source names both or neither of configMapRef and uri; give exactly one")
        return self


class Storage(Spec):
    """Where runs and results are kept."""

    uri: StoreUri = Field(description="s3://bucket/prefix or file:///folder; runs lie below it.")
    endpoint_url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=1024)] | None = Field(
        default=None, description="S3 endpoint, for servers other than AWS."
    )
    region: ShortText | None = Field(default=None, description="S3 region.")
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without it ambient credentials.",
    )


class ErrorPolicy(Spec):
    """How failed samples are treated. They are never scored as zero."""

    max_error_rate: float = Field(
        default=0.0, ge=0, le=1, description="Share of failed samples above which the job fails."
    )
    retries: int = Field(default=3, ge=0, le=100, description="Further tries of a sample after a passing fault.")


class EnvVar(Spec):
    """One environment variable of the work pods."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)] = Field(
        description="Name of the variable."
    )
    value: str | None = Field(default=None, max_length=32768, description="Its value.")
    secret_key_ref: SecretKeyRef | None = Field(default=None, description="Or the Secret key that holds its value.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError("a variable has both or neither of value and secretKeyRef; give exactly one")
        return self


class Resources(Spec):
    """Compute resources of a work pod, as in Kubernetes."""

    requests: dict[str, str | int] = Field(default_factory=dict, max_length=32, description="Asked for.")
    limits: dict[str, str | int] = Field(default_factory=dict, max_length=32, description="At most.")


class Toleration(Spec):
    """A taint the work pods tolerate, as in Kubernetes."""

    key: str | None = Field(default=None, max_length=317, description="Taint key; empty means all.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="Exists or Equal.")
    value: str | None = Field(default=None, max_length=253, description="Taint value for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect."
    )
    toleration_seconds: int | None = Field(default=None, ge=0, description="How long NoExecute is tolerated.")


class JobTemplate(Spec):
    """What a user may set on the work pods; merged over the runtime's pod template."""

    resources: Resources | None = Field(default=None, description="Compute resources.")
    env: list[EnvVar] = Field(default_factory=list, max_length=64, description="Environment variables.")
    labels: dict[str, str] = Field(default_factory=dict, max_length=32, description="Labels of the pods.")
    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32, description="Node labels to match.")
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Tolerated taints.")


class EvalJobSpec(Spec):
    """What to evaluate and how."""

    runtime_ref: RuntimeRef = Field(default=RuntimeRef(), description="The ClusterEvalRuntime to run on.")
    model: Model = Field(description="The model under evaluation.")
    tasks: list[TaskRef] = Field(min_length=1, max_length=256, description="Tasks to run.")
    task_sources: list[TaskSource] = Field(
        default_factory=list, max_length=16, description="Folders of own task files."
    )
    replicas: int = Field(default=1, ge=1, le=1000, description="Work pods.")
    chunk_size: int | None = Field(default=None, ge=1, le=10000, description="Documents per chunk; default: by cost.")
    storage: Storage | None = Field(default=None, description="Where runs are kept; default: the runtime's.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Every random choice derives from it.")
    error_policy: ErrorPolicy = Field(default=ErrorPolicy(), description="How failed samples are treated.")
    suspend: bool = Field(default=False, description="Hold the job without losing committed chunks.")
    active_deadline_seconds: int | None = Field(default=None, ge=1, description="The job fails after this time.")
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, description="Deletes the finished job after this time."
    )
    queue_name: Name | None = Field(default=None, description="Kueue queue of the work Job.")
    template: JobTemplate = Field(default=JobTemplate(), description="Settings of the work pods.")

    @model_validator(mode="after")
    def _tasks_are_distinct(self) -> Self:
        names = [task.name for task in self.tasks]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"task {doubled[0]} is listed twice; list each task once")
        return self


class Condition(Spec):
    """One observed aspect of the job, as Kubernetes conditions are."""

    type: Literal[
        "Accepted",
        "Planned",
        "QuotaReserved",
        "Running",
        "ChunksCommitted",
        "Reduced",
        "Complete",
        "Failed",
        "Suspended",
    ] = Field(description="Aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=1024, description="One word for programs.")
    message: str = Field(default="", max_length=32768, description="A sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(default=None, description="Generation of the spec it was seen for.")


class PlanStatus(Spec):
    """The plan in numbers."""

    digest: str = Field(description="SHA-256 of plan.json.")
    samples: int = Field(ge=0, description="Planned samples.")
    chunks: int = Field(ge=0, description="Planned chunks.")
    storage_mode: Literal["conditional", "fallback"] | None = Field(
        default=None, description="How commits are made unique."
    )


class ProgressStatus(Spec):
    """How far the run is; advisory."""

    samples_done: int = Field(default=0, ge=0, description="Samples with a committed record.")
    samples_total: int = Field(default=0, ge=0, description="Planned samples.")
    errors: int = Field(default=0, ge=0, description="Samples that failed.")
    chunks_committed: int = Field(default=0, ge=0, description="Committed chunks.")
    tokens_in: int = Field(default=0, ge=0, description="Prompt tokens.")
    tokens_out: int = Field(default=0, ge=0, description="Generated tokens.")
    samples_per_second: float | None = Field(default=None, description="Current rate.")
    eta: datetime | None = Field(default=None, description="Expected end.")


class WorkersStatus(Spec):
    """Work pods by state."""

    active: int = Field(default=0, ge=0, description="Running.")
    succeeded: int = Field(default=0, ge=0, description="Ended well.")
    failed: int = Field(default=0, ge=0, description="Failed.")
    preempted: int = Field(default=0, ge=0, description="Evicted and replaced.")


class HeadlineResult(Spec):
    """One row of the results; numbers are strings because Kubernetes objects carry no floats."""

    task: str = Field(description="Task.")
    metric: str = Field(description="Metric, with its filter when it has one.")
    value: str = Field(description="Value.")
    stderr: str | None = Field(default=None, description="Standard error.")
    ci_low: str | None = Field(default=None, description="Lower end of the 95 % interval.")
    ci_high: str | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="Documents behind the value.")
    errors: int = Field(default=0, ge=0, description="Failed samples of the task.")


class EvalJobStatus(Spec):
    """What the operator observed."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec this status is about.")
    phase: Literal["Pending", "Planning", "Queued", "Running", "Reducing", "Complete", "Failed", "Suspended"] | None = (
        Field(default=None, description="Summary of the conditions for the printer column.")
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=16, description="Observed aspects.")
    plan: PlanStatus | None = Field(default=None, description="The plan in numbers.")
    progress: ProgressStatus | None = Field(default=None, description="How far the run is.")
    workers: WorkersStatus | None = Field(default=None, description="Work pods by state.")
    results: list[HeadlineResult] = Field(default_factory=list, max_length=64, description="Headline results.")
    results_uri: str | None = Field(default=None, description="Where results.json lies.")


class EvalJob(Spec):
    """One evaluation of one model."""

    api_version: Literal["assay.dev/v1alpha1"] = Field(description="assay.dev/v1alpha1")
    kind: Literal["EvalJob"] = Field(description="EvalJob")
    metadata: ObjectMeta = Field(description="Identity of the job.")
    spec: EvalJobSpec = Field(description="What to evaluate and how.")
    status: EvalJobStatus | None = Field(default=None, description="What the operator observed.")
