"""Why pods do not run, or did not end well, as one word for programs and one sentence for people.

Kubernetes spreads the answer over pod conditions, container states, termination messages and events; the first of them
that says something is what a person needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from assay_api.errors import EXIT_SPEC, EXIT_STOPPED
from assay_api.reports import Ended, read_report
from assay_operator.views import JobView, PodView, ServerView

QUIET_SECONDS = 3.0
"""How long a pod may be young and silent before its events are read."""
_STRANDED_SECONDS = 60.0
"""How long a pod may look as one that never starts before it is taken for one."""
HOPELESS_RESTARTS, HOPELESS_SECONDS = 5, 180.0
"""Restarts of every server, and seconds without a committed sample, after which a job is given up whose servers are down.
The kubelet waits longer before each restart: five take about three minutes."""

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)", re.IGNORECASE)
_LONGEST = 1500


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a pod."""

    reason: str
    message: str


def waiting_trouble(pod: PodView, complaint: str | None = None) -> Trouble | None:
    """Why a pending pod does not run, when that is known."""
    if pod.unschedulable is not None:
        return Trouble("Unschedulable", _sentence(pod.unschedulable.partition("preemption:")[0]))
    # The worker's container waits for that of its server.
    server = pod.server and (_cannot_run(pod.server) or server_trouble(pod, pod.created))
    if trouble := server or _cannot_run(pod):
        return trouble
    if complaint:
        return _missing(complaint) or Trouble("PodNotReady", _sentence(complaint))
    return None


def server_trouble(pod: PodView, since: datetime | None) -> Trouble | None:
    """That the server beside a worker ends again and again, and why; None while it runs, or has brought something about.

    Args:
        since: when samples were last committed, or the waiting for the first began.
    """
    server = pod.server
    # A server ends with its worker, as it should.
    if server is None or server.exit_code is None or pod.exit_code is not None:
        return None
    if server.running and since is not None and server.started is not None and server.started <= since:
        return None
    ends = server.restarts + (not server.running)
    times = f", {ends} times so far" if ends > 1 else ""
    if server.ended_reason == "OOMKilled":
        limit = f" (limit {server.memory_limit})" if server.memory_limit else ""
        return Trouble(
            "ServerFailed",
            f"the server beside {_who(pod)} was killed because it ran out of memory{limit}{times}; the runtime's "
            "servers say how much it gets.",
        )
    how = f"could not be started ({server.ended_reason})" if server.ended_reason in _NOT_STARTED else ""
    how = how or f"ended with exit code {server.exit_code}"
    return Trouble("ServerFailed", _sentence(f"the server beside {_who(pod)} {how}{times}{_last_line(server.message)}"))


def servers_are_hopeless(pods: Iterable[PodView], since: datetime | None, now: datetime) -> Trouble | None:
    """Why no server of the pods will ever serve; None while one of them may.

    Args:
        since: as for `server_trouble`.
    """
    if since is None or (now - since).total_seconds() < HOPELESS_SECONDS:
        return None
    alive = [pod for pod in pods if pod.phase in ("Pending", "Running") and not pod.deleting and not pod.unschedulable]
    servers = [(pod.server, trouble) for pod in alive if pod.server and (trouble := server_trouble(pod, since))]
    if len(servers) < len(alive) or any(server.restarts < HOPELESS_RESTARTS for server, _ in servers):
        return None
    return next((trouble for server, trouble in servers if not server.running), None)


def ended_trouble(pod: PodView) -> Trouble | None:
    """Why a pod failed; None when it did not, or was only asked to stop."""
    if pod.phase != "Failed" and pod.exit_code in (None, 0):
        return None
    if pod.ended_reason == "OOMKilled":
        limit = f" (limit {pod.memory_limit})" if pod.memory_limit else ""
        return Trouble(
            "OutOfMemory",
            f"{_who(pod)} was killed because it ran out of memory{limit}; raise resources.limits.memory, "
            "or lower the model's batch size.",
        )
    if pod.disrupted or pod.exit_code == EXIT_STOPPED:
        return None
    report = read_report(pod.message)
    if isinstance(report, Ended):
        return Trouble(report.kind, _sentence(report.message.removeprefix("assay: ")))
    if pod.ended_reason in _NOT_STARTED:
        return Trouble("ContainerCannotStart", _sentence(pod.message or pod.ended_reason))
    if pod.pod_reason == "Evicted":
        return Trouble("Evicted", _sentence(f"{_who(pod)} was evicted: {pod.pod_message}"))
    if pod.exit_code is None:
        return Trouble(pod.pod_reason or "PodFailed", _sentence(pod.pod_message or f"{_who(pod)} failed"))
    last = _last_line(pod.message)
    return Trouble("ContainerFailed", _sentence(f"{_who(pod)} ended with exit code {pod.exit_code}{last}"))


def is_final(pod: PodView) -> bool:
    """Whether the pod failed in a way that another try cannot mend."""
    return pod.exit_code == EXIT_SPEC


def why_failed(job: JobView, pods: Sequence[PodView]) -> Trouble:
    """Why a Job failed: what its pods said, last first; else what the Job says."""
    found = [(pod, trouble) for pod in pods if (trouble := ended_trouble(pod))]
    for pod, trouble in found:
        if is_final(pod):
            return trouble
    if found:
        return max(found, key=lambda item: _age_key(item[0]))[1]
    return Trouble(job.failure or "Failed", _sentence(job.failure_message or "its Job failed"))


def what_hinders(
    job: JobView | None, pods: Iterable[PodView], complaints: Mapping[str, str], now: datetime
) -> tuple[Trouble | None, int]:
    """The most telling trouble of a step that has not ended, and how many pods wait.

    A pod that waits comes before one that failed and will be replaced.
    """
    pods = list(pods)
    pending = [pod for pod in pods if pod.phase == "Pending" and not pod.deleting]
    waits = [trouble for pod in pending if (trouble := waiting_trouble(pod, complaints.get(pod.uid)))]
    if waits:
        return waits[0], len(pending)
    if job is not None and not pods and not job.suspended and (refused := complaints.get(job.uid)):
        return Trouble("PodsRefused", _sentence(refused)), 0
    failed = [(pod, trouble) for pod in pods if (trouble := ended_trouble(pod))]
    alive = any(pod.phase == "Running" and not pod.deleting for pod in pods)
    if failed and not alive:
        return max(failed, key=lambda item: _age_key(item[0]))[1], len(pending)
    return None, len(pending)


def is_silent(pod: PodView, now: datetime) -> bool:
    """Whether only the pod's events can tell why it does not start."""
    young = pod.created is None or (now - pod.created).total_seconds() < QUIET_SECONDS
    return (
        pod.phase == "Pending"
        and not pod.deleting
        and not young
        and pod.unschedulable is None
        and pod.waiting in (None, "ContainerCreating", "PodInitializing")
    )


def is_stranded(pod: PodView, now: datetime) -> bool:
    """Whether the pod will never start: its node died after the container was made and before it was started. The kubelet that
    comes back takes up no container that may not be restarted."""
    young = pod.created is None or (now - pod.created).total_seconds() < _STRANDED_SECONDS
    return pod.stranded and pod.phase == "Pending" and not pod.deleting and not young


def _cannot_run(container: PodView | ServerView) -> Trouble | None:
    """Why a container was not started, in the kubelet's words."""
    said = container.waiting_message
    if container.waiting in _IMAGE:
        detail = said or container.waiting or ""
        return Trouble("ImagePullFailed", _sentence(f"image {container.image} cannot be pulled: {_last_cause(detail)}"))
    if container.waiting == "CreateContainerConfigError":
        return _missing(said) or Trouble("ContainerConfig", _sentence(said))
    if container.waiting in ("CreateContainerError", "RunContainerError", "StartError"):
        return Trouble("ContainerCannotStart", _sentence(said or container.waiting))
    return None


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _missing(message: str) -> Trouble | None:
    if found := _KEY.search(message):
        kind = _kind(found["kind"])
        name = found["name"].rpartition("/")[2]
        return Trouble(f"{kind}KeyMissing", f"{kind} {name} has no key {found['key']}; add it and the job goes on.")
    if found := _MISSING.search(message):
        kind = _kind(found["kind"])
        return Trouble(f"{kind}Missing", f"{kind} {found['name']} does not exist here; create it and the job goes on.")
    return None


def _kind(word: str) -> str:
    return "Secret" if word.lower() == "secret" else "ConfigMap"


def _who(pod: PodView) -> str:
    return f"worker {pod.index}" if pod.step == "work" and pod.index is not None else f"the {pod.step} pod"


def _last_cause(message: str) -> str:
    """The innermost cause of a container runtime's nested message."""
    text = message.replace("\\n", " ").strip()
    for marker in ("rpc error: code = ", "failed to resolve reference"):
        if marker in text:
            text = text[text.rindex(marker) :]
    return text.removeprefix("rpc error: code = ")


def _sentence(text: str) -> str:
    flat = " ".join(text.split())
    if len(flat) > _LONGEST:
        flat = flat[: _LONGEST - 1] + "…"
    return flat if flat.endswith((".", "…", "!", "?")) else f"{flat}."


def _age_key(pod: PodView) -> tuple[float, str]:
    return (pod.created.timestamp() if pod.created else 0.0, pod.name)
