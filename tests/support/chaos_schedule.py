"""Which fault comes when: a function of a seed alone, so that a bad night can be had again.

Targets are drawn as numbers from 0 to 1 and made into a pod or a node by whoever injects the fault: which pods there are at that
moment is not the schedule's to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What clusters do to jobs."""

    WORKER_DELETED = "a worker's pod is deleted"
    WORKER_GONE = "a worker's pod is deleted at once, without its grace period"
    WORKER_KILLED = "SIGKILL to a worker, inside its container"
    WORKER_OUT_OF_MEMORY = "a worker's container is out of memory"
    WORKERS_PREEMPTED = "pods of a higher priority take a node's GPUs"
    PLANNER_KILLED = "SIGKILL to a planner"
    REDUCER_KILLED = "SIGKILL to a reducer"
    DISK_FULL = "a pod's disk is full for ten seconds"
    NODE_DIES = "a node dies with its pods, and comes back"
    OPERATOR_GONE = "the operator's pod is deleted at once"
    SECOND_OPERATOR = "a second operator acts for twenty seconds, under a Lease of its own"
    API_SERVER_RESTARTED = "the API server is restarted"
    STORE_AWAY = "the storage answers nothing for thirty seconds"
    STORE_SLOW = "the storage answers half a second late for fifteen seconds"
    STORE_BUSY = "the storage answers 503 for fifteen seconds"


_BAG = (
    *[Kind.WORKER_DELETED] * 6,
    *[Kind.WORKER_GONE] * 4,
    *[Kind.WORKER_KILLED] * 4,
    *[Kind.WORKER_OUT_OF_MEMORY] * 2,
    *[Kind.WORKERS_PREEMPTED] * 2,
    *[Kind.PLANNER_KILLED] * 2,
    *[Kind.REDUCER_KILLED] * 2,
    *[Kind.DISK_FULL] * 2,
    *[Kind.OPERATOR_GONE] * 3,
    Kind.NODE_DIES,
    Kind.SECOND_OPERATOR,
    Kind.API_SERVER_RESTARTED,
    Kind.STORE_AWAY,
    Kind.STORE_SLOW,
    Kind.STORE_BUSY,
)
"""How often each happens for every 33 faults."""


@dataclass(frozen=True)
class Planned:
    """One fault: `pause` seconds after the one before; `pick`, from 0 to 1, chooses its target."""

    kind: Kind
    pause: float
    pick: float


def schedule(seed: int, faults: int) -> tuple[Planned, ...]:
    """The first `faults` faults of the schedule with this seed."""
    random, kinds = Random(seed), []
    while len(kinds) < faults:
        bag = list(_BAG)
        random.shuffle(bag)
        kinds += bag
    return tuple(Planned(kind, random.uniform(1.0, 4.0), random.random()) for kind in kinds[:faults])
