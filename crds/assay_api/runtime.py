"""`ClusterEvalRuntime`: what a platform team offers: images, pods, storage, and what jobs may do.

Everything that could widen a user's permissions (volumes, service account, security context, images, runtime class) is
set here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from assay_api.base import Spec
from assay_api.evaljob import BackendName, EnvVar, Name, Resources, SecretRef, Storage, Toleration

Image = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class RuntimeImages(Spec):
    """Image per backend; plan and reduce pods run the `default` one."""

    default: Image = Field(description="Runner image without an engine: plans, endpoint runs and reductions.")
    vllm: Image | None = Field(default=None, description="Runner image with vLLM.")
    transformers: Image | None = Field(default=None, description="Runner image with transformers.")
    sglang: Image | None = Field(default=None, description="Runner image with SGLang.")
    openai: Image | None = Field(default=None, description="Runner image for endpoints; default: `default`.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When images are pulled."
    )


class PodTemplate(Spec):
    """Everything about the work pods that belongs to the platform; free-form parts are checked by the API server."""

    resources: Resources | None = Field(default=None, description="Compute resources of a work pod.")
    node_selector: dict[str, str] = Field(default_factory=dict, max_length=32, description="Node labels to match.")
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Tolerated taints.")
    affinity: dict[str, Any] | None = Field(default=None, description="Affinity, as in a pod.")
    volumes: list[dict[str, Any]] = Field(default_factory=list, max_length=32, description="Volumes, as in a pod.")
    volume_mounts: list[dict[str, Any]] = Field(
        default_factory=list, max_length=32, description="Where they are mounted."
    )
    env: list[EnvVar] = Field(default_factory=list, max_length=64, description="Environment variables.")
    labels: dict[str, str] = Field(default_factory=dict, max_length=32, description="Labels of the pods.")
    annotations: dict[str, str] = Field(default_factory=dict, max_length=32, description="Annotations of the pods.")
    security_context: dict[str, Any] | None = Field(
        default=None, description="Pod security context; default: restricted."
    )
    service_account_name: Name | None = Field(default=None, description="Service account, for workload identity.")
    image_pull_secrets: list[SecretRef] = Field(
        default_factory=list, max_length=16, description="Registry credentials."
    )
    priority_class_name: Name | None = Field(default=None, description="Priority class.")
    runtime_class_name: Name | None = Field(default=None, description="Runtime class.")


class Cache(Spec):
    """A volume on which model weights are kept between pods."""

    volume_name: Name = Field(description="Name of one of the pod template's volumes.")
    mount_path: Annotated[str, StringConstraints(pattern=r"^/", max_length=1024)] = Field(
        default="/cache", description="Where pods see it."
    )


class Allowed(Spec):
    """What jobs may switch on; all off by default."""

    remote_code: bool = Field(default=False, description="Models that bring their own Python code.")
    task_code: bool = Field(default=False, description="Task files with Python code from taskSources.")
    code_execution: bool = Field(default=False, description="Tasks that run code the model wrote.")
    network: bool = Field(default=False, description="Work pods that reach more than store, model and DNS.")


class Caps(Spec):
    """Upper bounds for one job."""

    max_replicas: int = Field(default=64, ge=1, le=1000, description="Most work pods of one job.")


class ClusterEvalRuntimeSpec(Spec):
    """Images, pods, storage and permissions that jobs run with."""

    images: RuntimeImages = Field(description="Image per backend.")
    pod_template: PodTemplate = Field(default=PodTemplate(), description="Template of the work pods.")
    storage: Storage | None = Field(default=None, description="Default storage of jobs.")
    cache: Cache | None = Field(default=None, description="Volume for model weights.")
    backends: list[BackendName] = Field(
        default_factory=lambda: list(BackendName), max_length=8, description="Backends that jobs may use."
    )
    allowed: Allowed = Field(default=Allowed(), description="What jobs may switch on.")
    caps: Caps = Field(default=Caps(), description="Upper bounds for one job.")
    namespaces: list[Annotated[str, StringConstraints(min_length=1, max_length=63)]] = Field(
        default_factory=lambda: ["*"], max_length=1024, description="Namespaces that may use it; * is all."
    )


class RuntimeMeta(Spec):
    """Identity of the runtime."""

    model_config = Spec.model_config | {"extra": "ignore"}

    name: Name = Field(description="Name of the runtime.")


class ClusterEvalRuntime(Spec):
    """What a platform team offers to run evaluations on."""

    api_version: Literal["assay.dev/v1alpha1"] = Field(description="assay.dev/v1alpha1")
    kind: Literal["ClusterEvalRuntime"] = Field(description="ClusterEvalRuntime")
    metadata: RuntimeMeta = Field(description="Identity of the runtime.")
    spec: ClusterEvalRuntimeSpec = Field(description="Images, pods, storage and permissions.")
