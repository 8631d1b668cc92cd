"""What people are told of a job's way: Kubernetes Events, one for each change of a condition that matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from assay_api.evaljob import GROUP, VERSION
from assay_api.status import Condition, EvalJobStatus
from assay_operator.conditions import find

_QUIET = frozenset({"Starting", "Running", "Held", "JobFailed", "AllCommitted"})
"""Reasons of a condition that is False only because its time has not come, or is over."""
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Telling:
    """One Event."""

    warning: bool
    reason: str
    message: str


def tellings(before: EvalJobStatus, after: EvalJobStatus) -> Iterator[Telling]:
    """The Events of the change from one status to the next."""
    for condition in after.conditions:
        earlier = find(before.conditions, condition.type)
        if earlier is not None and (earlier.status, earlier.reason) == (condition.status, condition.reason):
            continue
        if told := _telling(condition, after):
            yield told


def event(told: Telling, raw: Mapping[str, Any], now: datetime, identity: str) -> dict[str, Any]:
    """The Event object about `raw`."""
    meta = raw["metadata"]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{meta['name'][:200]}.", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": raw["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": "Warning" if told.warning else "Normal",
        "reason": told.reason,
        "message": told.message,
        "source": {"component": "assay-operator"},
        "reportingComponent": f"{GROUP}/operator",
        "reportingInstance": identity[:128],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _telling(condition: Condition, status: EvalJobStatus) -> Telling | None:
    message = condition.message[:_LONGEST]
    holds = condition.status == "True"
    match condition.type:
        case "Failed" if holds:
            return Telling(True, condition.reason, message)
        case "Complete" if holds:
            score = status.summary.score if status.summary else ""
            return Telling(False, "Complete", f"Results were written: {score or status.results_uri}.")
        case "Accepted" if holds:
            return Telling(False, "Accepted", "The job may run.")
        case "Planned" if holds:
            return Telling(False, "Planned", message)
        case "Running" if holds:
            return Telling(False, "Running", message or "Workers run.")
        case "ChunksCommitted" if holds:
            return Telling(False, "ChunksCommitted", message)
        case "GatesPassed":
            return Telling(not holds, "GatesPassed" if holds else condition.reason, message)
        case "Suspended":
            return Telling(False, "Suspended" if holds else "Resumed", message)
        case "QuotaReserved":
            return Telling(False, "QuotaReserved" if holds else "Queued", message)
        case "Accepted" | "Planned" | "Running" | "Reduced" if not holds and condition.reason not in _QUIET and message:
            return Telling(True, condition.reason, message)
        case _:
            return None
