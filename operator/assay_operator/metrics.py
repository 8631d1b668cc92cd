"""What a Prometheus may scrape of the operator, in a registry of its own: how it fares itself, and how the EvalJobs do."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from assay_operator.evaljob_view import EvalJobView
from assay_operator.job_metrics import JobMetrics
from assay_operator.schedules.metrics import ScheduleView, exposition
from assay_operator.watched import Key

PHASES = ("Pending", "Planning", "Queued", "Running", "Reducing", "Complete", "Failed", "Suspended")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics. Counting and rendering may happen in any threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives seconds since 1970."""
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "assay_operator_reconciles", "Reconciliations by how they ended.", ["outcome"], registry=self.registry
        )
        self._schedule_reconciles = Counter(
            "assay_operator_schedule_reconciles",
            "Looks at EvalSchedules by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        self._seconds = self._histogram("reconcile_seconds", "Time of one reconciliation.")
        self._queued = self._histogram("queue_seconds", "How long EvalJobs have waited to be reconciled.")
        self._calls = self._histogram("api_seconds", "Time of calls of the API server.", "verb", "resource")
        self._errors = Counter(
            "assay_operator_api_errors",
            "Calls that the API server refused or did not answer.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._depth = self._gauge("queue_depth", "EvalJobs that wait to be reconciled.")
        self._oldest = self._gauge("queue_oldest_seconds", "For how long the first of them has waited.")
        self._age = self._gauge(
            "watch_age_seconds", "For how long the watch has owed the oldest change that a listing has shown."
        )
        self._leader = self._gauge("leader", "1 when this replica acts.")
        self._phases = self._gauge("jobs", "EvalJobs by phase.", "phase")
        self._jobs = JobMetrics(now)
        self._rendering = Lock()

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count one reconciliation."""
        self._reconciles.labels(outcome).inc()
        self._seconds.observe(seconds)

    def schedule_reconciled(self, outcome: str) -> None:
        """Count one look at an EvalSchedule."""
        self._schedule_reconciles.labels(outcome).inc()

    def taken(self, waited: float) -> None:
        """Count an EvalJob that has waited for its reconciliation so many seconds."""
        self._queued.observe(waited)

    def called(self, verb: str, resource: str, status: int, seconds: float) -> None:
        """Count a call of the API server, and that it failed if it did; what is merely absent is no failure."""
        self._calls.labels(verb, resource).observe(seconds)
        if not 200 <= status < 300 and status != 404:
            self._errors.labels(verb, resource, str(status)).inc()

    def render(
        self,
        *,
        depth: int,
        oldest: float,
        age: float,
        leads: bool,
        jobs: Mapping[Key, EvalJobView],
        schedules: Mapping[Key, ScheduleView],
    ) -> bytes:
        """The exposition, with the gauges as given; the replica that acts tells of each of `jobs` and `schedules`."""
        with self._rendering:
            self._depth.set(depth)
            self._oldest.set(oldest)
            self._age.set(age)
            self._leader.set(leads)
            found = Count(job.phase for job in jobs.values())
            for phase in PHASES:
                self._phases.labels(phase).set(found[phase])
            told = generate_latest(self.registry) + self._jobs.render(jobs if leads else {})
            return told + exposition(schedules if leads else {})

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"assay_operator_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        return Histogram(f"assay_operator_{name}", documentation, labels, buckets=_SECONDS, registry=self.registry)
