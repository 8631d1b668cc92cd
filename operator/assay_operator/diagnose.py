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
from assay_operator.views import JobView, PodView

QUIET_SECONDS = 3.0
"""How long a pod may be young and silent before its events are read."""

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
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
    if pod.waiting in _IMAGE:
        detail = pod.waiting_message or pod.waiting or ""
        return Trouble("ImagePullFailed", _sentence(f"image {pod.image} cannot be pulled: {_last_cause(detail)}"))
    if pod.waiting == "CreateContainerConfigError":
        return _missing(pod.waiting_message) or Trouble("ContainerConfig", _sentence(pod.waiting_message))
    if pod.waiting in ("CreateContainerError", "RunContainerError", "StartError"):
        return Trouble("ContainerCannotStart", _sentence(pod.waiting_message or pod.waiting))
    if complaint:
        return _missing(complaint) or Trouble("PodNotReady", _sentence(complaint))
    return None


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
    if pod.ended_reason == "StartError" or pod.ended_reason == "ContainerCannotRun":
        return Trouble("ContainerCannotStart", _sentence(pod.message or pod.ended_reason))
    if pod.pod_reason == "Evicted":
        return Trouble("Evicted", _sentence(f"{_who(pod)} was evicted: {pod.pod_message}"))
    if pod.exit_code is None:
        return Trouble(pod.pod_reason or "PodFailed", _sentence(pod.pod_message or f"{_who(pod)} failed"))
    said = pod.message.strip().splitlines()
    last = f": {said[-1]}" if said else ""
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
