"""Workers that are lost while their pods still count, and how many others stand in for them.

A Job with a failure policy makes no other pod for an index before the old one has ended, and one on a dead node does not end
until its node is back or removed. Such a Job is given more indexes for as long; whoever does a chunk, and how often, makes no
difference to the results.
"""

from __future__ import annotations

from datetime import datetime

from assay_api.evaljob import EvalJobSpec
from assay_operator.diagnose import is_stranded
from assay_operator.names import Step
from assay_operator.observed import Observed
from assay_operator.views import PodView

_SETTLED_SECONDS = 20.0
"""For how long the API server must have answered before a silent node counts as dead. A kubelet tells every ten."""
_OVERDUE_SECONDS = 10.0
"""How long after its time a pod that is being removed may still be there before it is taken for lost."""


def is_lost(pod: PodView, now: datetime) -> bool:
    """Whether nothing is to be expected of a pod that has not ended: its node does not answer, or lets it neither start nor
    go."""
    if pod.phase not in ("Pending", "Running"):
        return False
    overdue = pod.gone_by is not None and (now - pod.gone_by).total_seconds() > _OVERDUE_SECONDS
    return pod.unreachable or overdue or is_stranded(pod, now)


def lost_workers(seen: Observed, now: datetime) -> int:
    """How many pods of the work Job are lost."""
    return sum(is_lost(pod, now) for pod in seen.of(Step.WORK))


def at_work(pod: PodView, now: datetime) -> bool:
    """Whether a pod runs, as far as anybody can tell."""
    return pod.phase == "Running" and not pod.deleting and not is_lost(pod, now)


def workers_wanted(seen: Observed, spec: EvalJobSpec, now: datetime) -> int:
    """How many indexes the work Job should have: as many as asked for, and one more for each worker that is lost.

    One that stands in goes when the one that it stands in for runs again, not before. A Job that is queued has a quota for
    so many, and gets none. After a failure of the API server, to which no node could tell that it lives, nobody new stands in
    until all have had the time to.
    """
    asked = spec.replicas
    if spec.suspend or spec.queue_name is not None:
        return asked
    pods, job = seen.of(Step.WORK), seen.jobs[Step.WORK]
    working = {int(pod.index) for pod in pods if pod.index is not None and at_work(pod, now)}
    standing_in = len([index for index in working if index >= asked])
    missing = asked - len([index for index in working if index < asked])
    wanted = asked + max(lost_workers(seen, now), min(missing, standing_in))
    return wanted if seen.answering >= _SETTLED_SECONDS else min(wanted, max(asked, job.parallelism))
