"""The pods of a job as the source of logs: which step, in which order, and why one has no log yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from assay_api.evaljob import GROUP
from assay_api.servers import CONTAINER as SERVER
from assay_runner.cluster.client import CONTAINER

_STEPS = ("plan", "work", "reduce", "delete")
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of one step.

    Attributes:
        label: step, index and the random end of the name, such as `work-2-x7k2p`.
        started: its container has run, so there is a log.
        ended: and runs no more: the log is complete.
        waits: why there is no log yet; "" when it has started.
        container: whose log is meant.
    """

    name: str
    label: str
    step: str
    index: int
    created: str
    started: bool
    ended: bool
    waits: str
    container: str = CONTAINER

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read what the API server sent."""
        return cls._of(data, CONTAINER)

    @classmethod
    def server_of(cls, data: Mapping[str, Any]) -> Self | None:
        """The server beside a worker, in the same pod; None for a pod without one."""
        beside = (data.get("spec") or {}).get("initContainers") or []
        return cls._of(data, SERVER) if any(container.get("name") == SERVER for container in beside) else None

    @classmethod
    def _of(cls, data: Mapping[str, Any], container: str) -> Self:
        meta, status = data["metadata"], data.get("status") or {}
        step = (meta.get("labels") or {}).get(f"{GROUP}/step", "pod")
        index = (meta.get("annotations") or {}).get(_INDEX, "")
        state = _state(status, container)
        over = status.get("phase") in ("Succeeded", "Failed")
        # A server that ended is started again, as long as its pod lives.
        ended = over or ("terminated" in state and container != SERVER)
        started = "running" in state or "terminated" in state
        return cls(
            name=meta["name"],
            label="-".join(
                part
                for part in ("server" if container == SERVER else step, index, meta["name"].rpartition("-")[2])
                if part
            ),
            step=step,
            index=int(index) if index.isdigit() else 0,
            created=meta.get("creationTimestamp", ""),
            started=started,
            ended=ended,
            waits="" if started else _why(status, state),
            container=container,
        )


def selector(uid: str, step: str | None) -> str:
    """Selects the pods of one EvalJob, or of one of its steps."""
    return f"{GROUP}/job-uid={uid}" + (f",{GROUP}/step={step}" if step else "")


def in_order(items: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """The pods in the order of their steps, indices and ages."""
    pods = [Pod.of(item) for item in items]
    return sorted(pods, key=lambda pod: (_rank(pod.step), pod.index, pod.created, pod.name))


def servers_in_order(items: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """The servers beside the workers, in the same order."""
    servers = [server for item in items if (server := Pod.server_of(item))]
    return sorted(servers, key=lambda server: (server.index, server.created, server.name))


def _rank(step: str) -> int:
    return _STEPS.index(step) if step in _STEPS else len(_STEPS)


def _state(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What the container is doing; of one that waits to be started again, how it ended."""
    for container in status.get("initContainerStatuses" if name == SERVER else "containerStatuses") or []:
        if container.get("name") == name:
            state: Mapping[str, Any] = container.get("state") or {}
            last: Mapping[str, Any] = container.get("lastState") or {}
            return last if "waiting" in state and "terminated" in last else state
    return {}


def _why(status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    waiting = state.get("waiting") or {}
    if reason := waiting.get("reason"):
        return _joined(reason, waiting.get("message"))
    if reason := status.get("reason"):
        return _joined(reason, status.get("message"))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _joined(condition.get("reason") or "not scheduled", condition.get("message"))
    return str(status.get("phase") or "Pending")


def _joined(reason: str, message: str | None) -> str:
    return f"{reason}: {message}" if message else reason
