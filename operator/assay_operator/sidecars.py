"""The model server beside a worker: a native sidecar, that is an init container which is restarted whenever it ends.

The kubelet starts the worker once the server's process runs, and ends the server when the worker has ended. That the
server is ready, the worker finds out by itself, over the loopback interface: so it tells of the wait, and sees the end of a
run that others finish meanwhile. Nothing of it comes from the job but the model's name and arguments that the runtime allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay_api.evaljob import EvalJob
from assay_api.runtime import ClusterEvalRuntime
from assay_api.servers import CONTAINER, MODEL, PORT, REVISION, Server
from assay_api.sidecar import VARIABLE, Sidecar

_SCRATCH, _SHARED = "server-scratch", "server-memory"
_HOME = "/tmp"  # noqa: S108 - a volume of the pod's own
_REVISION = "main"
"""What hubs call the newest revision."""
_BESIDE = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "8Gi"}}
"""Resources of a worker that has a server, where neither runtime nor job give any."""

Part = dict[str, Any]


def offered(job: EvalJob, runtime: ClusterEvalRuntime) -> Server | None:
    """The runtime's server that the job picks; None when it picks none, or one that is not there."""
    asked = job.spec.model.server
    return runtime.spec.servers.get(asked.name) if asked else None


def told(job: EvalJob, runtime: ClusterEvalRuntime) -> Iterable[Part]:
    """The variable by which planner and workers learn of the server."""
    asked, server = job.spec.model.server, offered(job, runtime)
    if asked is not None and server is not None:
        yield {"name": VARIABLE, "value": literal(Sidecar.of(asked, server).encode().decode().strip())}


def literal(text: str) -> str:
    """`text` as it is written where Kubernetes would expand $(NAME)."""
    # Every dollar sign, not only those of references: $$$(NAME) is a dollar sign and a reference.
    return text.replace("$", "$$")


def container(
    job: EvalJob, runtime: ClusterEvalRuntime, server: Server, environment: Iterable[Part], resources: Part
) -> Part:
    """The server's container.

    Args:
        environment: variables of the runtime's pod template, then of the server.
        resources: what it gets, see `shared_out`.
    """
    asked, template, model = job.spec.model.server, runtime.spec.pod_template, job.spec.model
    cache = runtime.spec.cache
    own = {"HOME": _HOME, "TMPDIR": _HOME, "USER": "assay"}
    if cache is not None:
        own["HF_HOME"] = f"{cache.mount_path.rstrip('/')}/huggingface"
    # Kubernetes expands references in values too: a model's name must not spell out a secret of the runtime.
    filled = {MODEL: literal(model.name), REVISION: literal(model.revision or _REVISION), PORT: str(server.port)}
    return {
        "name": CONTAINER,
        "image": server.image,
        "imagePullPolicy": server.pull_policy,
        "restartPolicy": "Always",
        "command": list(server.command),
        "args": [*server.args, *(literal(argument) for argument in (asked.args if asked else ()))],
        "env": [*_variables(own), *environment, *_variables(filled)],
        "resources": resources,
        "securityContext": server.security_context or _contained(template.security_context),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": _SCRATCH, "mountPath": _HOME},
            {"name": _SHARED, "mountPath": "/dev/shm"},  # noqa: S108 - a volume of the pod's own
            *(mount for mount in template.volume_mounts if cache and mount["name"] == cache.volume_name),
            *server.volume_mounts,
        ],
    }


def volumes(server: Server) -> Iterable[Part]:
    """Volumes of the server's own."""
    limit = {"sizeLimit": server.shared_memory} if server.shared_memory is not None else {}
    yield {"name": _SCRATCH, "emptyDir": {}}
    yield {"name": _SHARED, "emptyDir": {"medium": "Memory", **limit}}


def shared_out(template: Part, job: Part, server: Part) -> tuple[Part, Part]:
    """Resources of the worker and of the server beside it: devices go to the server, the rest of the pod template and
    of the job to the worker. Each part is `{"requests": …, "limits": …}`; a job's devices win over the server's, those
    over the template's."""
    worker: Part = {}
    beside: Part = {}
    for kind in ("requests", "limits"):
        given, wanted, own = (part.get(kind, {}) for part in (template, job, server))
        worker[kind] = _without_devices(given) | _without_devices(wanted)
        beside[kind] = _devices(given) | own | _devices(wanted)
    return (worker if any(worker.values()) else _BESIDE), beside


def _devices(amounts: Mapping[str, Any]) -> Part:
    """Extended resources, such as nvidia.com/gpu: their names have a domain."""
    return {name: amount for name, amount in amounts.items() if "/" in name}


def _without_devices(amounts: Mapping[str, Any]) -> Part:
    return {name: amount for name, amount in amounts.items() if "/" not in name}


def _variables(values: Mapping[str, str]) -> list[Part]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _contained(of_the_pods: Mapping[str, Any] | None) -> Part:
    """Images of servers run as root where nothing else is said; the runtime's pods may have a user of their own."""
    user = {} if of_the_pods is not None and "runAsUser" in of_the_pods else {"runAsUser": USER}
    return {**CONTAINED, **user}


USER = 65532
CONTAINED: Part = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
