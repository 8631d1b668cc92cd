"""The pod of each step, as plain data: restricted, without a token, with nothing in it that the user could have widened.

Volumes, service account, security context, images, servers and runtime class come from the runtime alone. From the job come what
it evaluates, resources, environment, node selector and tolerations of its work pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay_api import exposition
from assay_api.evaljob import EvalJob, Storage
from assay_api.pods import EnvVar, Resources, Toleration
from assay_api.runtime import ClusterEvalRuntime
from assay_api.servers import Server
from assay_operator import sidecars
from assay_operator.accept import effective_storage, image
from assay_operator.names import MANIFEST, Step
from assay_operator.sidecars import CONTAINED, USER

CONTAINER = "runner"
GRACE_SECONDS = 60
"""Between being asked to stop and being killed: for finishing open chunks."""
_FINISH_SECONDS = 45
_REPORT = "/dev/termination-log"
_MANIFEST_FOLDER, _TASKS_FOLDER, _SCRATCH = "/etc/assay", "/etc/assay-tasks", "/tmp"  # noqa: S108 - a volume of the pod's own
_SMALL = {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
"""Resources of plan and reduce pods."""

Pod = dict[str, Any]


def pod_spec(step: Step, job: EvalJob, runtime: ClusterEvalRuntime, run: str, max_error_rate: float) -> Pod:
    """The pod that does `step`.

    Args:
        run: address of the run.
    """
    template, own = runtime.spec.pod_template, job.spec.template
    storage = effective_storage(job, runtime.spec)
    planned = step in (Step.PLAN, Step.WORK)
    server = sidecars.offered(job, runtime) if step is Step.WORK else None
    resources, servers = _resources(step, template.resources, own.resources, server)
    environment = [
        *_environment(step, job, storage),
        *(_variable(item) for item in template.env),
        *(_variable(item) for item in own.env if planned),
        *(sidecars.told(job, runtime) if planned else []),
    ]
    pod: Pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": template.security_context or _RESTRICTED,
        "nodeSelector": {**template.node_selector, **(own.node_selector if planned else {})},
        "tolerations": [
            *_tolerations([*template.tolerations, *(own.tolerations if planned else [])]),
            *(_LEAVE_DEAD_NODES if step is not Step.WORK else []),
        ],
        "affinity": template.affinity,
        "serviceAccountName": template.service_account_name,
        "imagePullSecrets": [{"name": secret.name} for secret in template.image_pull_secrets],
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "initContainers": [_server(job, runtime, server, servers)] if server else [],
        "containers": [
            {
                "name": CONTAINER,
                "image": image(runtime.spec, job.spec.model.backend) if planned else runtime.spec.images.default,
                "imagePullPolicy": runtime.spec.images.pull_policy,
                "command": ["assay"],
                "args": _arguments(step, runtime, run, max_error_rate),
                "env": _once(environment),
                "resources": resources,
                "securityContext": CONTAINED,
                "terminationMessagePath": _REPORT,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    {"name": "scratch", "mountPath": _SCRATCH},
                    *(_plan_mounts(job) if step is Step.PLAN else []),
                    *template.volume_mounts,
                ],
                "ports": [{"name": "metrics", "containerPort": exposition.PORT}] if step is Step.WORK else [],
            }
        ],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            *(_plan_volumes(job) if step is Step.PLAN else []),
            *(sidecars.volumes(server) if server else []),
            *template.volumes,
        ],
    }
    return _without_empty(pod)


def watch_pod(job: EvalJob, runtime: ClusterEvalRuntime, arguments: list[str]) -> Pod:
    """The pod that runs `assay` with these arguments, and reaches the store as a reducer of `job` does."""
    pod = pod_spec(Step.REDUCE, job, runtime, "", 0.0)
    pod["containers"][0]["args"] = [*arguments, "--report", _REPORT]
    return pod


def manifest(job: EvalJob, runtime: ClusterEvalRuntime) -> str:
    """The job as the planner reads it: as the user wrote it, with the storage it will use."""
    spec = job.spec.model_copy(update={"storage": effective_storage(job, runtime.spec)})
    return job.model_copy(update={"spec": spec, "status": None}).model_dump_json(exclude_none=True)


def plan_annotations(job: EvalJob, runtime: ClusterEvalRuntime) -> dict[str, str]:
    """Annotations of the plan pod, through which the manifest reaches it."""
    return {MANIFEST: manifest(job, runtime)}


def _arguments(step: Step, runtime: ClusterEvalRuntime, run: str, max_error_rate: float) -> list[str]:
    cache = ["--cache", runtime.spec.cache.mount_path] if runtime.spec.cache else []
    report = ["--report", _REPORT]
    # Kubernetes expands $(NAME) in arguments; a literal one is written with two dollar signs.
    address = sidecars.literal(run)
    match step:
        case Step.PLAN:
            return ["plan", f"{_MANIFEST_FOLDER}/job.json", "--config-maps", _TASKS_FOLDER, *report, *cache]
        case Step.WORK:
            me = ["--index", "$(JOB_COMPLETION_INDEX)", "--worker", "$(POD_NAME)"]
            port = ["--metrics-port", str(exposition.PORT)]
            return ["work", address, *me, *port, "--grace", str(_FINISH_SECONDS), *report, *cache]
        case Step.REDUCE:
            return ["reduce", address, "--max-error-rate", repr(max_error_rate), *report]
        case Step.DELETE:
            return ["delete", address, *report]


def _environment(step: Step, job: EvalJob, storage: Storage | None) -> Iterable[Pod]:
    yield {"name": "HOME", "value": _SCRATCH}
    yield {"name": "TMPDIR", "value": _SCRATCH}
    yield {"name": "PYTHONHASHSEED", "value": "0"}
    if step is Step.WORK:
        yield {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    if storage is not None and storage.endpoint_url:
        yield {"name": "AWS_ENDPOINT_URL_S3", "value": storage.endpoint_url}
    if storage is not None and storage.region:
        yield {"name": "AWS_REGION", "value": storage.region}
    if storage is not None and storage.credentials_secret_ref:
        secret = storage.credentials_secret_ref.name
        yield _secret("AWS_ACCESS_KEY_ID", secret, "AWS_ACCESS_KEY_ID")
        yield _secret("AWS_SECRET_ACCESS_KEY", secret, "AWS_SECRET_ACCESS_KEY")
        yield _secret("AWS_SESSION_TOKEN", secret, "AWS_SESSION_TOKEN", optional=True)
    key = job.spec.model.endpoint.api_key_secret_ref if job.spec.model.endpoint else None
    if key is not None and step in (Step.PLAN, Step.WORK):
        yield _secret("OPENAI_API_KEY", key.name, key.key)


def _secret(name: str, secret: str, key: str, *, optional: bool = False) -> Pod:
    reference: Pod = {"name": secret, "key": key}
    return {"name": name, "valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}


def _variable(item: EnvVar) -> Pod:
    if item.secret_key_ref is not None:
        return _secret(item.name, item.secret_key_ref.name, item.secret_key_ref.key)
    return {"name": item.name, "value": item.value}


def _once(variables: Iterable[Pod]) -> list[Pod]:
    """Each name once; a later one replaces an earlier one."""
    return list({variable["name"]: variable for variable in variables}.values())


def _tolerations(tolerations: Iterable[Toleration]) -> list[Pod]:
    return [toleration.model_dump(mode="json", exclude_none=True) for toleration in tolerations]


def _server(job: EvalJob, runtime: ClusterEvalRuntime, server: Server, resources: Pod) -> Pod:
    variables = (_variable(item) for item in (*runtime.spec.pod_template.env, *server.env))
    made = sidecars.container(job, runtime, server, variables, resources)
    return made | {"env": _once(made["env"])}


def _resources(step: Step, offered: Resources | None, own: Resources | None, server: Server | None) -> tuple[Pod, Pod]:
    """Resources of the step's container, and of the server beside it."""
    if step is not Step.WORK:
        return _SMALL, {}
    parts, mine = _plain(offered), _plain(own)
    if server is not None:
        return sidecars.shared_out(parts, mine, _plain(server.resources))
    return {name: {**parts.get(name, {}), **mine.get(name, {})} for name in ("requests", "limits")}, {}


def _plain(resources: Resources | None) -> dict[str, Any]:
    return resources.model_dump(mode="json") if resources else {}


def _plan_mounts(job: EvalJob) -> Iterable[Pod]:
    yield {"name": "manifest", "mountPath": _MANIFEST_FOLDER, "readOnly": True}
    for number, source in enumerate(job.spec.task_sources):
        if source.config_map_ref is not None:
            yield {"name": f"tasks-{number}", "mountPath": f"{_TASKS_FOLDER}/{number}", "readOnly": True}


def _plan_volumes(job: EvalJob) -> Iterable[Pod]:
    field = {"fieldPath": f"metadata.annotations['{MANIFEST}']"}
    yield {"name": "manifest", "downwardAPI": {"items": [{"path": "job.json", "fieldRef": field}]}}
    for number, source in enumerate(job.spec.task_sources):
        if source.config_map_ref is not None:
            yield {"name": f"tasks-{number}", "configMap": {"name": source.config_map_ref.name}}


def _without_empty(pod: Pod) -> Pod:
    """Drop what is not set: an applied empty field would be owned and fought over."""
    lists = {name: [_set(container) for container in pod[name]] for name in ("initContainers", "containers")}
    return {name: value for name, value in (pod | lists).items() if value not in (None, {}, [])}


def _set(container: Pod) -> Pod:
    kept = {name: value for name, value in container.items() if value not in (None, {}, [])}
    return kept | {"resources": {name: value for name, value in container["resources"].items() if value}}


_LEAVE_DEAD_NODES = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
    for state in ("unreachable", "not-ready")
]
"""A run has one planner and one reducer: when its node dies it is replaced after half a minute, not after five."""
_RESTRICTED: Pod = {
    "runAsNonRoot": True,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
