"""Waiting: for a job's end, and for its disappearance."""

from __future__ import annotations

import time
from collections.abc import Callable

from assay_api.errors import Failed
from assay_runner.cluster.client import Cluster
from assay_runner.cluster.display import Display
from assay_runner.cluster.job import Job, Outcome, outcome
from assay_runner.cluster.patience import looks

GONE_SECONDS = 60.0


def wait_for_end(
    cluster: Cluster,
    job: Job,
    display: Display,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Job, Outcome]:
    """Stay until the job has ended; the job as it was then, and how it ended.

    Raises:
        Failed: the job was deleted meanwhile.
        ApiUnavailable: the API server has not answered for two minutes.
    """
    for data in looks(lambda: cluster.job(job.namespace, job.name), display.note, clock=clock, sleep=sleep):
        if data is None or data["metadata"]["uid"] != job.uid:
            raise Failed(f"{job.title} was deleted before it ended.")
        seen = Job.of(data)
        display.show(seen)
        if ended := outcome(seen):
            return seen, ended
    raise AssertionError("looks for ever")


def wait_until_gone(
    cluster: Cluster,
    job: Job,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Stay until the object is no more.

    Raises:
        Failed: it is still there after a minute; the sentence names what holds it.
    """
    deadline = clock() + GONE_SECONDS
    for data in looks(lambda: cluster.job(job.namespace, job.name), note, clock=clock, sleep=sleep):
        if data is None or data["metadata"]["uid"] != job.uid:
            return
        if clock() >= deadline:
            holders = ", ".join(Job.of(data).finalizers)
            why = f"it waits for {holders}" if holders else "the cluster has not removed it yet"
            raise Failed(f"{job.title} is still being deleted after {GONE_SECONDS:.0f} s: {why}.")
