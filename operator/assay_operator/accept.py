"""Whether a job may run as it is: what only the cluster knows, checked before any pod is made."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from assay_api.backends import BackendName
from assay_api.evaljob import EvalJob, Storage
from assay_api.permissions import needed_switches
from assay_api.runtime import ClusterEvalRuntime, ClusterEvalRuntimeSpec
from assay_api.servers import refused_argument

LARGEST_MANIFEST = 200_000
"""Bytes of a job that fit beside other annotations into a pod."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the job cannot run now."""

    reason: str
    message: str


def refuse(job: EvalJob, runtime: ClusterEvalRuntime | None) -> Refusal | None:
    """The first thing that is wrong with `job` on this cluster, or None."""
    name = job.spec.runtime_ref.name
    if runtime is None:
        return Refusal(
            "RuntimeNotFound",
            f"spec.runtimeRef.name: there is no ClusterEvalRuntime {name}; name one of `kubectl get clusterevalruntimes`, "
            "or ask the platform team for it.",
        )
    offer, space = runtime.spec, job.metadata.namespace
    if "*" not in offer.namespaces and space not in offer.namespaces:
        return Refusal(
            "NamespaceNotAllowed",
            f"spec.runtimeRef.name: runtime {name} is not open to namespace {space}; use another runtime.",
        )
    backend = job.spec.model.backend
    if backend not in offer.backends:
        return Refusal(
            "BackendNotAllowed",
            f"spec.model.backend: runtime {name} does not offer {backend}; use {_either(offer.backends)}.",
        )
    if job.spec.replicas > offer.caps.max_replicas:
        return Refusal(
            "TooManyReplicas",
            f"spec.replicas: runtime {name} allows at most {offer.caps.max_replicas}, not {job.spec.replicas}; lower it.",
        )
    for switch, field in needed_switches(job.spec).items():
        if not offer.allowed.model_dump()[switch]:
            return Refusal(
                f"{switch[0].upper()}{switch[1:]}NotAllowed",
                f"{field}: runtime {name} does not allow it (allowed.{switch} is off); remove the field or use another runtime.",
            )
    return _refuse_server(job, offer) or _refuse_storage(effective_storage(job, offer), offer) or _refuse_size(job)


def effective_storage(job: EvalJob, offer: ClusterEvalRuntimeSpec) -> Storage | None:
    """The job's storage, else the runtime's; never a mixture of both."""
    return job.spec.storage or offer.storage


def on_a_volume(uri: str, offer: ClusterEvalRuntimeSpec) -> bool:
    """Whether pods share what lies at the address: any s3:// one, and a folder on a volume that the runtime mounts."""
    if not uri.startswith("file:"):
        return True
    mounts = [str(mount.get("mountPath", "")).rstrip("/") for mount in offer.pod_template.volume_mounts]
    return any(mount and f"{_folder(uri)}/".startswith(f"{mount}/") for mount in mounts)


def image(offer: ClusterEvalRuntimeSpec, backend: BackendName) -> str:
    """The image that runs models of `backend`."""
    images = {
        BackendName.VLLM: offer.images.vllm,
        BackendName.TRANSFORMERS: offer.images.transformers,
        BackendName.SGLANG: offer.images.sglang,
        BackendName.OPENAI: offer.images.openai,
    }
    return images[backend] or offer.images.default


def _refuse_server(job: EvalJob, offer: ClusterEvalRuntimeSpec) -> Refusal | None:
    asked, name = job.spec.model.server, job.spec.runtime_ref.name
    if asked is None:
        return None
    server = offer.servers.get(asked.name)
    if server is None:
        there = f"it has {', '.join(sorted(offer.servers))}" if offer.servers else "it has none"
        return Refusal(
            "ServerNotFound",
            f"spec.model.server.name: runtime {name} has no server {asked.name}, {there}; name another, or use another runtime.",
        )
    option = refused_argument(server, asked.args)
    if option is not None:
        allowed = f"it allows {', '.join(server.allowed_args)}" if server.allowed_args else "it allows none"
        return Refusal(
            "ServerArgumentNotAllowed",
            f"spec.model.server.args: server {asked.name} of runtime {name} does not let jobs set {option}, {allowed}; "
            "remove it, or ask the platform team.",
        )
    return None


def _refuse_storage(storage: Storage | None, offer: ClusterEvalRuntimeSpec) -> Refusal | None:
    if storage is None:
        return Refusal(
            "StorageMissing", "spec.storage: neither the job nor its runtime names a storage; add spec.storage.uri."
        )
    if not on_a_volume(storage.uri, offer):
        return Refusal(
            "StorageNotShared",
            f"spec.storage.uri: {_folder(storage.uri)} is on no volume of the runtime, so pods would not see each other's "
            "work; use s3://bucket/prefix or a folder on a mounted volume.",
        )
    return None


def _folder(uri: str) -> str:
    return posixpath.normpath("/" + uri.removeprefix("file:").lstrip("/"))


def _refuse_size(job: EvalJob) -> Refusal | None:
    size = len(job.model_dump_json(exclude_none=True).encode())
    if size > LARGEST_MANIFEST:
        return Refusal(
            "ManifestTooLarge",
            f"spec: the job has {size} bytes, more than the {LARGEST_MANIFEST} that reach the planner; "
            "split it into several jobs.",
        )
    return None


def _either(backends: list[BackendName]) -> str:
    return " or ".join(backend.value for backend in backends) or "another runtime"
