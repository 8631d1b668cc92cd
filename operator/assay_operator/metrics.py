"""The operator's own metrics, in a registry of their own."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PHASES = ("Pending", "Planning", "Queued", "Running", "Reducing", "Complete", "Failed", "Suspended")


class Metrics:
    """What a Prometheus may scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "assay_operator_reconciles", "Reconciliations by how they ended.", ["outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "assay_operator_reconcile_seconds",
            "Time of one reconciliation.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self._depth = Gauge(
            "assay_operator_queue_depth", "EvalJobs that wait to be reconciled.", registry=self.registry
        )
        self._age = Gauge(
            "assay_operator_watch_age_seconds",
            "For how long the watch has owed the oldest change that a listing has shown.",
            registry=self.registry,
        )
        self._leader = Gauge("assay_operator_leader", "1 when this replica acts.", registry=self.registry)
        self._jobs = Gauge("assay_operator_jobs", "EvalJobs by phase.", ["phase"], registry=self.registry)
        self._errors = Counter(
            "assay_operator_api_errors", "Calls that the API server refused or did not answer.", ["code"],
            registry=self.registry,
        )  # fmt: skip

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count one reconciliation."""
        self._reconciles.labels(outcome).inc()
        self._seconds.observe(seconds)

    def called(self, method: str, path: str, status: int) -> None:
        """Count a call of the API server when it failed; what is merely absent is no failure."""
        if not 200 <= status < 300 and status != 404:
            self._errors.labels(str(status)).inc()

    def render(self, *, depth: int, age: float, leads: bool, phases: Iterable[str]) -> bytes:
        """The exposition, with the gauges as given."""
        self._depth.set(depth)
        self._age.set(age)
        self._leader.set(leads)
        found = Count(phases)
        for phase in PHASES:
            self._jobs.labels(phase).set(found[phase])
        return generate_latest(self.registry)
