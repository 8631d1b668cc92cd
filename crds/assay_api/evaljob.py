"""`EvalJob`: what a user asks for: which model, on which tasks, run how, stored where.

The CRD's schema is generated from these models, so bounds and descriptions here are what the API server enforces and what
`kubectl explain` teaches. The same manifest is read by `assay run`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from assay_api.backends import BackendName
from assay_api.base import Spec
from assay_api.gates import MOST_GATES, Gate
from assay_api.pods import JobTemplate, SecretKeyRef, SecretRef
from assay_api.rules import Rule, checked, keyed, refuse_doubles
from assay_api.servers import ServerRef
from assay_api.status import EvalJobStatus
from assay_api.texts import HttpUrl, Name, ShortText, StoreUri, Uri

GROUP = "assay.dev"
VERSION = "v1alpha1"

TASK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""Names of tasks: they are parts of keys in the store and of sample ids."""
TaskName = Annotated[str, StringConstraints(pattern=TASK_NAME, min_length=1, max_length=128)]

OPENAI_HAS_ENDPOINT = Rule(
    "self.backend != 'openai' || has(self.endpoint) || has(self.server)",
    "backend openai has no endpoint; add model.endpoint.url, or model.server for a server beside each worker",
)
ENDPOINT_OR_SERVER = Rule(
    "!has(self.endpoint) || !has(self.server)",
    "the model has an endpoint and a server; remove model.endpoint or model.server",
    ".server",
)
OTHERS_HAVE_NO_SERVER = Rule(
    "self.backend == 'openai' || !has(self.server)",
    "only backend openai takes a server; remove model.server or use backend openai",
    ".server",
)
SERVED_IS_NO_OPTION = Rule(
    "!has(self.server) || (!self.name.startsWith('-') && (!has(self.revision) || !self.revision.startsWith('-')))",
    "a server would take a model's name or revision that begins with - for one of its options; correct it",
    ".name",
)
OTHERS_HAVE_NO_ENDPOINT = Rule(
    "self.backend == 'openai' || !has(self.endpoint)",
    "only backend openai takes an endpoint; remove model.endpoint or use backend openai",
    ".endpoint",
)
SOURCE_IS_ONE = Rule(
    "has(self.configMapRef) != has(self.uri)",
    "a task source names both or neither of configMapRef and uri; give exactly one",
)
_SOURCE_IS_REACHABLE = Rule(
    "!has(self.uri) || self.uri.startsWith('s3://') || self.uri.startsWith('file:///')",
    "pods cannot read a relative folder; use s3://bucket/prefix, file:///folder on a volume of the runtime, or configMapRef",
    ".uri",
)


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

    name: Name = Field(
        default="default", description="Name of a ClusterEvalRuntime; kubectl get clusterevalruntimes lists them."
    )


class Endpoint(Spec):
    """An OpenAI-compatible server that already runs."""

    url: HttpUrl = Field(description="Base URL up to and including the version, such as http://server:8000/v1.")
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Key of a Secret with the API key, if the server wants one; on a laptop it is read from OPENAI_API_KEY.",
    )
    max_concurrency: int = Field(
        default=64,
        ge=1,
        le=65536,
        description="Requests in flight at a time by the whole job; its work pods share them out.",
    )
    timeout_seconds: float = Field(
        default=600, gt=0, le=86400, description="Seconds after which one request is given up."
    )
    hedge: bool = Field(
        default=False,
        description="Ask a second time, while there is room, what takes far longer than others, at most one request in 20.",
    )


class Model(Spec):
    """The model under evaluation."""

    model_config = Spec.model_config | {
        "json_schema_extra": checked(
            OPENAI_HAS_ENDPOINT,
            OTHERS_HAVE_NO_ENDPOINT,
            ENDPOINT_OR_SERVER,
            OTHERS_HAVE_NO_SERVER,
            SERVED_IS_NO_OPTION,
        )
    }

    backend: BackendName = Field(
        description="Engine: vllm, transformers or sglang run the model in the pods; openai asks a server."
    )
    name: Uri = Field(
        description="Hub id, folder or s3:// address of the model; for openai the name that the server knows it by, "
        "and that one beside a worker is started with."
    )
    revision: ShortText | None = Field(
        default=None, description="Branch, tag or commit on the hub; the plan pins the commit."
    )
    args: dict[str, Any] = Field(
        default_factory=dict,
        max_length=64,
        description="Arguments of the backend, such as max_model_len; it refuses what it does not know.",
    )
    endpoint: Endpoint | None = Field(
        default=None, description="A server that runs already; backend openai has this or server, the others neither."
    )
    server: ServerRef | None = Field(
        default=None,
        description="A server of the runtime that runs beside each worker; backend openai has this or endpoint.",
    )

    @model_validator(mode="after")
    def _servers_belong_to_openai(self) -> Self:
        asks = self.backend is BackendName.OPENAI
        if asks and self.endpoint is None and self.server is None:
            raise ValueError(OPENAI_HAS_ENDPOINT.sentence)
        if not asks and self.endpoint is not None:
            raise ValueError(OTHERS_HAVE_NO_ENDPOINT.sentence)
        if not asks and self.server is not None:
            raise ValueError(OTHERS_HAVE_NO_SERVER.sentence)
        if self.endpoint is not None and self.server is not None:
            raise ValueError(ENDPOINT_OR_SERVER.sentence)
        if self.server is not None and (self.name.startswith("-") or (self.revision or "").startswith("-")):
            raise ValueError(SERVED_IS_NO_OPTION.sentence)
        return self


class Generation(Spec):
    """Sampling settings that replace a task's `generation_kwargs`, key by key."""

    model_config = Spec.model_config | {"alias_generator": None}

    max_new_tokens: int | None = Field(default=None, ge=1, le=1_048_576, description="Longest answer, in tokens.")
    temperature: float | None = Field(
        default=None, ge=0, le=100, description="Randomness of sampling; 0 always takes the likeliest token."
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Sample among the likeliest tokens that hold this much probability."
    )
    top_k: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Sample among the k likeliest tokens.")
    repetition_penalty: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Above 1 makes tokens that occurred before less likely; 1 changes nothing.",
    )
    until: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] | None = Field(
        default=None, max_length=16, description="Strings that end an answer."
    )


class TaskRef(Spec):
    """One task, or group of tasks, to run, and how much of it. What is left out is as the task says."""

    name: TaskName = Field(
        description="Name of a task, group or tag; assay tasks lists those that are shipped, taskSources adds your own."
    )
    limit: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Only the first so many documents; default: all."
    )
    num_fewshot: int | None = Field(
        default=None, ge=0, le=256, description="Solved examples put in front of each question."
    )
    repeats: int | None = Field(default=None, ge=1, le=1024, description="Answers drawn per document.")
    generation: Generation | None = Field(
        default=None, description="Sampling settings that replace the task's own, one by one."
    )


class ConfigMapRef(Spec):
    """A ConfigMap in the job's namespace."""

    name: Name = Field(description="Name of the ConfigMap.")


class TaskSource(Spec):
    """A folder with the user's own task files."""

    model_config = Spec.model_config | {"json_schema_extra": checked(SOURCE_IS_ONE, _SOURCE_IS_REACHABLE)}

    config_map_ref: ConfigMapRef | None = Field(
        default=None, description="ConfigMap in the job's namespace whose keys are task files."
    )
    uri: Uri | None = Field(
        default=None,
        description="s3://bucket/prefix or file:///folder; on a laptop also a folder relative to the manifest.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.config_map_ref is None) == (self.uri is None):
            raise ValueError(SOURCE_IS_ONE.sentence)
        return self


class Storage(Spec):
    """Where runs and results are kept."""

    uri: StoreUri = Field(description="s3://bucket/prefix or file:///folder; runs lie below it.")
    endpoint_url: HttpUrl | None = Field(default=None, description="Address of the S3 server when it is not AWS.")
    region: ShortText | None = Field(default=None, description="Region of the bucket.")
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; default: the pods' own identity.",
    )


class ErrorPolicy(Spec):
    """How failed samples are treated. They are never scored as zero."""

    max_error_rate: float = Field(
        default=0.0, ge=0, le=1, description="Share of samples that may fail, from 0 to 1; above it the job fails."
    )
    retries: int = Field(
        default=3, ge=0, le=100, description="Further tries of a sample after a fault that may pass, such as a timeout."
    )


_A_YEAR = 365 * 24 * 3600


class EvalJobSpec(Spec):
    """What to evaluate and how."""

    runtime_ref: RuntimeRef = Field(default=RuntimeRef(), description="The ClusterEvalRuntime to run on.")
    model: Model = Field(description="The model under evaluation.")
    tasks: list[TaskRef] = Field(
        min_length=1, max_length=256, description="Tasks to run, each once.", json_schema_extra=keyed("name")
    )
    task_sources: list[TaskSource] = Field(
        default_factory=list,
        max_length=16,
        description="Where your own task files are; the runtime must allow task code.",
    )
    replicas: int = Field(default=1, ge=1, le=1000, description="Work pods wanted; may be changed while the job runs.")
    chunk_size: int | None = Field(
        default=None, ge=1, le=10000, description="Documents per chunk; default: chunks of equal cost."
    )
    storage: Storage | None = Field(default=None, description="Where the run is kept; default: the runtime's storage.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Every random choice derives from it.")
    error_policy: ErrorPolicy = Field(default=ErrorPolicy(), description="How failed samples are treated.")
    gates: list[Gate] = Field(
        default_factory=list,
        max_length=MOST_GATES,
        description="What the scores must reach; the verdicts are in status.gates and the condition GatesPassed.",
        json_schema_extra=keyed("name"),
    )
    suspend: bool = Field(default=False, description="Ends the work pods and holds the job; committed chunks are kept.")
    active_deadline_seconds: int | None = Field(
        default=None, ge=1, le=_A_YEAR, description="The job fails when it has taken so many seconds."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, le=10 * _A_YEAR, description="The job is deleted so many seconds after it has ended."
    )
    reclaim_policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="Whether the run's objects in the store stay (Retain) or go (Delete) when the EvalJob is deleted.",
    )
    queue_name: Name | None = Field(default=None, description="Kueue LocalQueue that admits the work pods.")
    template: JobTemplate = Field(
        default=JobTemplate(), description="Resources, variables, labels and placement of the work pods."
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        refuse_doubles("task", [task.name for task in self.tasks])
        refuse_doubles("gate", [gate.name for gate in self.gates])
        return self


def _fixed_once_planned(field: str, what: str, *, optional: bool = False) -> Rule:
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    same = f"has({new}) == has({old}) && (!has({new}) || {new} == {old})" if optional else f"{new} == {old}"
    return Rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.plan) || ({same})",
        f"{what} cannot change once the job is planned; apply the change as an EvalJob with another name",
        f".spec.{field}",
    )


_FIXED_ONCE_PLANNED = (
    _fixed_once_planned("runtimeRef", "the runtime"),
    _fixed_once_planned("model", "the model"),
    _fixed_once_planned("tasks", "the tasks"),
    _fixed_once_planned("taskSources", "the sources of tasks", optional=True),
    _fixed_once_planned("chunkSize", "the size of chunks", optional=True),
    _fixed_once_planned("storage", "the storage", optional=True),
    _fixed_once_planned("seed", "the seed"),
    _fixed_once_planned("gates", "the gates", optional=True),
)


NOT_ITS_OWN_BASELINE = Rule(
    "!has(self.spec.gates) || self.spec.gates.all(gate, !has(gate.baseline) || !has(gate.baseline.evalJob) || "
    "gate.baseline.evalJob != self.metadata.name)",
    "a job cannot be its own baseline; name another EvalJob",
    ".spec.gates",
)


class EvalJob(Spec):
    """One evaluation of one model."""

    model_config = Spec.model_config | {"json_schema_extra": checked(*_FIXED_ONCE_PLANNED, NOT_ITS_OWN_BASELINE)}

    api_version: Literal["assay.dev/v1alpha1"] = Field(description="assay.dev/v1alpha1")
    kind: Literal["EvalJob"] = Field(description="EvalJob")
    metadata: ObjectMeta = Field(description="Identity of the job.")
    spec: EvalJobSpec = Field(description="What to evaluate and how.")
    status: EvalJobStatus | None = Field(default=None, description="What the operator observed.")

    @model_validator(mode="after")
    def _is_not_its_own_baseline(self) -> Self:
        baselines = (gate.baseline for gate in self.spec.gates)
        if any(baseline is not None and baseline.eval_job == self.metadata.name for baseline in baselines):
            raise ValueError(NOT_ITS_OWN_BASELINE.sentence)
        return self
