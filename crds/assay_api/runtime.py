"""`ClusterEvalRuntime`: what a platform team offers: images, pods, storage, and what jobs may do.

Everything that could widen a user's permissions (volumes, service account, security context, images, runtime class) is
set here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from assay_api.backends import BackendName
from assay_api.base import Spec
from assay_api.evaljob import Storage
from assay_api.pods import EnvVar, Image, Resources, SecretRef, Toleration, Volume, VolumeMount
from assay_api.rules import Rule, checked, keyed, refuse_doubles
from assay_api.servers import Server, ServerName
from assay_api.texts import LabelValue, Name, QualifiedName

NamespaceOrAll = Annotated[
    str, StringConstraints(pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", min_length=1, max_length=63)
]

MOUNTS_HAVE_VOLUMES = Rule(
    "!has(self.volumeMounts) || self.volumeMounts.all(mount, "
    "has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))",
    "a mount names a volume that volumes lacks; add the volume or correct the name",
    ".volumeMounts",
)
CACHE_IS_A_VOLUME = Rule(
    "!has(self.cache) || (has(self.podTemplate) && has(self.podTemplate.volumes) && "
    "self.podTemplate.volumes.exists(volume, volume.name == self.cache.volumeName))",
    "cache.volumeName is no volume of podTemplate.volumes; add the volume or correct the name",
    ".cache",
)
SERVERS_MOUNT_VOLUMES = Rule(
    "!has(self.servers) || self.servers.all(name, !has(self.servers[name].volumeMounts) || "
    "self.servers[name].volumeMounts.all(mount, has(self.podTemplate) && has(self.podTemplate.volumes) && "
    "self.podTemplate.volumes.exists(volume, volume.name == mount.name)))",
    "a server mounts a volume that podTemplate.volumes lacks; add the volume or correct the name",
    ".servers",
)


class RuntimeImages(Spec):
    """Image per backend; pods that reduce run the `default` one."""

    default: Image = Field(
        description="Runner image for reductions, and for every backend that has none of its own here."
    )
    vllm: Image | None = Field(default=None, description="Runner image with vLLM.")
    transformers: Image | None = Field(default=None, description="Runner image with transformers.")
    sglang: Image | None = Field(default=None, description="Runner image with SGLang.")
    openai: Image | None = Field(default=None, description="Runner image for endpoints.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When nodes pull images; default: as in Kubernetes, by the tag."
    )


class PodTemplate(Spec):
    """What the platform gives to the pods that plan and work. Free-form parts are checked when a pod is made."""

    model_config = Spec.model_config | {"json_schema_extra": checked(MOUNTS_HAVE_VOLUMES)}

    resources: Resources | None = Field(default=None, description="Compute resources of a work pod.")
    node_selector: dict[QualifiedName, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels a node must have to run them."
    )
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Taints they tolerate.")
    affinity: dict[str, Any] | None = Field(default=None, max_length=16, description="Affinity, as in a pod.")
    volumes: list[Volume] = Field(
        default_factory=list, max_length=32, description="Volumes, as in a pod.", json_schema_extra=keyed("name")
    )
    volume_mounts: list[VolumeMount] = Field(
        default_factory=list,
        max_length=32,
        description="Where the volumes are mounted, as in a container.",
        json_schema_extra=keyed("mountPath"),
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=64,
        description="Environment variables of the pods that plan and work.",
        json_schema_extra=keyed("name"),
    )
    labels: dict[QualifiedName, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels of the pods."
    )
    annotations: dict[QualifiedName, Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="Annotations of the pods."
    )
    security_context: dict[str, Any] | None = Field(
        default=None, max_length=32, description="Security context of the pods, as in a pod; default: restricted."
    )
    service_account_name: Name | None = Field(
        default=None, description="Service account of the pods, for workload identity."
    )
    image_pull_secrets: list[SecretRef] = Field(
        default_factory=list, max_length=16, description="Secrets with credentials of image registries."
    )
    priority_class_name: Name | None = Field(default=None, description="Priority class of the pods.")
    runtime_class_name: Name | None = Field(
        default=None, description="Runtime class of the pods, such as one with a sandbox."
    )

    @model_validator(mode="after")
    def _volumes_and_mounts_fit(self) -> Self:
        refuse_doubles("volume", [volume["name"] for volume in self.volumes])
        refuse_doubles("mount", [mount["mountPath"] for mount in self.volume_mounts])
        refuse_doubles("variable", [variable.name for variable in self.env])
        if not {mount["name"] for mount in self.volume_mounts} <= {volume["name"] for volume in self.volumes}:
            raise ValueError(MOUNTS_HAVE_VOLUMES.sentence)
        return self


class Cache(Spec):
    """A volume on which model weights are kept between pods."""

    volume_name: Name = Field(description="Name of one of the pod template's volumes.")
    mount_path: Annotated[str, StringConstraints(pattern=r"^/", max_length=1024)] = Field(
        default="/cache", description="Folder at which the pods see it."
    )


class Allowed(Spec):
    """What jobs may switch on; all off by default."""

    remote_code: bool = Field(
        default=False, description="Models that bring Python code of their own (trust_remote_code)."
    )
    task_code: bool = Field(
        default=False, description="Task files of the users' own (taskSources); they may hold Python code."
    )
    code_execution: bool = Field(default=False, description="Tasks that run code which the model wrote.")
    network: bool = Field(default=False, description="Work pods that reach more than the store, the model and DNS.")


class Caps(Spec):
    """Upper bounds for one job."""

    max_replicas: int = Field(default=64, ge=1, le=1000, description="Most work pods of one job.")


class ClusterEvalRuntimeSpec(Spec):
    """Images, pods, servers, storage and permissions that jobs run with."""

    model_config = Spec.model_config | {"json_schema_extra": checked(CACHE_IS_A_VOLUME, SERVERS_MOUNT_VOLUMES)}

    images: RuntimeImages = Field(description="Image per backend.")
    pod_template: PodTemplate = Field(default=PodTemplate(), description="What the pods get from the platform.")
    storage: Storage | None = Field(default=None, description="Where runs are kept whose job says nothing else.")
    cache: Cache | None = Field(default=None, description="Volume on which model weights are kept between pods.")
    backends: list[BackendName] = Field(
        default_factory=lambda: list(BackendName), max_length=8, description="Backends that jobs may use."
    )
    servers: dict[ServerName, Server] = Field(
        default_factory=dict,
        max_length=16,
        description="Model servers, by name, that jobs may have beside their workers (spec.model.server).",
    )
    allowed: Allowed = Field(default=Allowed(), description="What jobs may switch on.")
    caps: Caps = Field(default=Caps(), description="Upper bounds for one job.")
    namespaces: list[NamespaceOrAll] = Field(
        default_factory=lambda: ["*"], max_length=1024, description="Namespaces whose jobs may use it; * is all."
    )

    @model_validator(mode="after")
    def _what_is_mounted_is_a_volume(self) -> Self:
        names = [volume["name"] for volume in self.pod_template.volumes]
        if self.cache and self.cache.volume_name not in names:
            raise ValueError(CACHE_IS_A_VOLUME.sentence)
        mounted = {mount["name"] for server in self.servers.values() for mount in server.volume_mounts}
        if not mounted <= set(names):
            raise ValueError(SERVERS_MOUNT_VOLUMES.sentence)
        return self


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
