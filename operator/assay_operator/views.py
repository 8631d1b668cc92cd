"""Small immutable views of the Kubernetes objects that decisions are made from, read from plain API data.

Everything here is total: an object that lacks a field gives a default, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from assay_api.servers import CONTAINER as SERVER
from assay_operator.names import INPUT_DIGEST, JOB_UID, SPEC_DIGEST, STEP, TEMPLATE_DIGEST

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job that the operator made."""

    name: str
    uid: str
    created: datetime | None
    deleting: bool = False
    suspended: bool = False
    parallelism: int = 1
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    complete: bool = False
    failure: str | None = None
    """Reason of the Failed condition."""
    failure_message: str = ""
    spec_digest: str | None = None
    input_digest: str | None = None
    template_digest: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the Job has ended, well or not."""
        return self.complete or self.failure is not None


@dataclass(frozen=True, slots=True)
class ServerView:
    """The model server beside a worker."""

    image: str = ""
    memory_limit: str | None = None
    waiting: str | None = None
    waiting_message: str = ""
    running: bool = False
    started: datetime | None = None
    """When the process that runs now was started."""
    restarts: int = 0
    exit_code: int | None = None
    """How it last ended."""
    ended_reason: str | None = None
    message: str = ""
    """The end of what it then said."""


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of one of those Jobs."""

    name: str
    uid: str
    job_uid: str
    step: str
    namespace: str = ""
    owner: str = ""
    """uid of the Job that made it."""
    created: datetime | None = None
    phase: str = "Pending"
    deleting: bool = False
    ip: str | None = None
    index: str | None = None
    image: str = ""
    memory_limit: str | None = None
    unschedulable: str | None = None
    """The scheduler's sentence while it finds no node."""
    waiting: str | None = None
    waiting_message: str = ""
    stranded: bool = False
    """Its container was made, its sandbox is gone, and nobody says that it waits for anything."""
    unreachable: bool = False
    """Its node does not answer: its containers were ready when it last did, and it is not."""
    gone_by: datetime | None = None
    """When it has to have gone, once it is being removed."""
    running: bool = False
    exit_code: int | None = None
    ended_reason: str | None = None
    message: str = ""
    """The container's termination message."""
    disrupted: bool = False
    """It was preempted, evicted or lost with its node."""
    pod_reason: str | None = None
    pod_message: str = ""
    server: ServerView | None = None


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """Kueue's account of the work Job."""

    name: str
    active: bool = True
    quota_reserved: bool = False
    reason: str = ""
    message: str = ""


def job_view(raw: Raw) -> JobView:
    """The view of a `batch/v1` Job."""
    meta, spec, status = raw.get("metadata") or {}, raw.get("spec") or {}, raw.get("status") or {}
    annotations = meta.get("annotations") or {}
    # A Job's verdict comes before its pods are gone: one on a dead node may never go.
    failed = _condition(status, "Failed") or _condition(status, "FailureTarget")
    complete = _condition(status, "Complete") or _condition(status, "SuccessCriteriaMet")
    return JobView(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        created=moment(meta.get("creationTimestamp")),
        deleting=bool(meta.get("deletionTimestamp")),
        suspended=bool(spec.get("suspend")),
        parallelism=spec.get("parallelism", 1),
        active=status.get("active") or 0,
        succeeded=status.get("succeeded") or 0,
        failed=status.get("failed") or 0,
        complete=complete is not None,
        failure=failed.get("reason", "Failed") if failed else None,
        failure_message=failed.get("message", "") if failed else "",
        spec_digest=annotations.get(SPEC_DIGEST),
        input_digest=annotations.get(INPUT_DIGEST),
        template_digest=annotations.get(TEMPLATE_DIGEST),
    )


def pod_view(raw: Raw) -> PodView:
    """The view of a pod: its container `runner`, and the server beside it where there is one."""
    meta, spec, status = raw.get("metadata") or {}, raw.get("spec") or {}, raw.get("status") or {}
    labels = meta.get("labels") or {}
    container: Raw = _named(spec.get("containers"), "runner") or {}
    seen: Raw = _named(status.get("containerStatuses"), "runner") or {}
    state = seen.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    scheduled: Raw = next((c for c in status.get("conditions") or [] if c.get("type") == "PodScheduled"), {})
    stuck = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    made = bool(seen.get("containerID")) and "waiting" in state and not waiting
    return PodView(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        job_uid=labels.get(JOB_UID, ""),
        step=labels.get(STEP, ""),
        namespace=meta.get("namespace", ""),
        owner=next((ref.get("uid", "") for ref in meta.get("ownerReferences") or [] if ref.get("controller")), ""),
        created=moment(meta.get("creationTimestamp")),
        phase=status.get("phase", "Pending"),
        deleting=bool(meta.get("deletionTimestamp")),
        ip=status.get("podIP"),
        index=(meta.get("annotations") or {}).get("batch.kubernetes.io/job-completion-index"),
        image=container.get("image", ""),
        memory_limit=((container.get("resources") or {}).get("limits") or {}).get("memory"),
        unschedulable=scheduled.get("message") or "no node fits" if stuck else None,
        waiting=waiting.get("reason"),
        waiting_message=waiting.get("message", ""),
        stranded=made and _condition(status, "PodReadyToStartContainers", "False") is not None,
        unreachable=_condition(status, "ContainersReady") is not None
        and _condition(status, "Ready", "False") is not None,
        gone_by=moment(meta.get("deletionTimestamp")),
        running="running" in state,
        exit_code=ended.get("exitCode"),
        ended_reason=ended.get("reason"),
        message=ended.get("message", ""),
        disrupted=_condition(status, "DisruptionTarget") is not None,
        pod_reason=status.get("reason"),
        pod_message=status.get("message", ""),
        server=_server_view(spec, status),
    )


def workload_view(raw: Raw) -> WorkloadView:
    """The view of a Kueue Workload."""
    meta, spec, status = raw.get("metadata") or {}, raw.get("spec") or {}, raw.get("status") or {}
    reserved: Raw = next((c for c in status.get("conditions") or [] if c.get("type") == "QuotaReserved"), {})
    return WorkloadView(
        name=meta.get("name", ""),
        active=spec.get("active", True),
        quota_reserved=reserved.get("status") == "True",
        reason=reserved.get("reason", ""),
        message=reserved.get("message", ""),
    )


def moment(text: str | None) -> datetime | None:
    """A Kubernetes timestamp."""
    return datetime.fromisoformat(text) if text else None


def _server_view(spec: Raw, status: Raw) -> ServerView | None:
    container = _named(spec.get("initContainers"), SERVER)
    if container is None:
        return None
    seen = _named(status.get("initContainerStatuses"), SERVER) or {}
    state = seen.get("state") or {}
    waiting, running = state.get("waiting") or {}, state.get("running") or {}
    ended = state.get("terminated") or (seen.get("lastState") or {}).get("terminated") or {}
    return ServerView(
        image=container.get("image", ""),
        memory_limit=((container.get("resources") or {}).get("limits") or {}).get("memory"),
        waiting=waiting.get("reason"),
        waiting_message=waiting.get("message", ""),
        running="running" in state,
        started=moment(running.get("startedAt")),
        restarts=seen.get("restartCount") or 0,
        exit_code=ended.get("exitCode"),
        ended_reason=ended.get("reason"),
        message=ended.get("message", ""),
    )


def _named(parts: list[Raw] | None, name: str) -> Raw | None:
    return next((part for part in parts or [] if part.get("name") == name), None)


def _condition(status: Raw, kind: str, value: str = "True") -> Raw | None:
    """The condition `kind` when it has this status."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == value:
            return dict(condition)
    return None
