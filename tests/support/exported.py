"""Every metric that the code exports, as a Prometheus would see it: from the operator's and a worker's own exposition."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from assay_operator.evaljob_view import evaljob_view
from assay_operator.metrics import Metrics
from assay_operator.schedules.metrics import schedule_view
from assay_runner.backends.base import ResponseError
from assay_runner.work.exposition import WorkerMetrics
from support.runs import AnsweringBackend, planned, worker

EVALJOB = {
    "spec": {"model": {"backend": "vllm", "name": "m"}},
    "status": {
        "phase": "Failed",
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T01:00:00Z",
        "plan": {"samples": 1, "chunks": 1},
        "progress": {"errorClasses": [{"name": "Timeout", "count": 1}]},
        "conditions": [
            {
                "type": "Failed",
                "status": "True",
                "reason": "TooManyErrors",
                "lastTransitionTime": "2026-01-01T01:00:00Z",
            }
        ],
        "results": [{"task": "t", "metric": "m", "value": "0.5", "ciLow": "0.4", "ciHigh": "0.6", "n": 1}],
        "gates": [{"name": "g", "verdict": "passed"}],
    },
}
"""One with everything that a series is made of."""

EVALSCHEDULE = {
    "spec": {"suspend": True},
    "status": {
        "activeCount": 1,
        "lastScheduleTime": "2026-01-01T00:00:00Z",
        "lastSuccessfulTime": "2026-01-01T01:00:00Z",
        "conditions": [
            {"type": "Accepted", "status": "True"},
            {"type": "Watching", "status": "False"},
            {"type": "OnTime", "status": "Unknown"},
        ],
    },
}


def exported(folder: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Name → type and labels of each metric; a counter's name ends with `_total`. `folder` is for a small run."""
    metrics = Metrics(lambda: 0.0)
    metrics.reconciled("done", 0.1)
    metrics.schedule_reconciled("done")
    metrics.called("get", "evaljobs", 500, 0.1)
    jobs = {("research", "job"): evaljob_view(EVALJOB)}
    schedules = {("research", "nightly"): schedule_view(EVALSCHEDULE)}
    text = metrics.render(depth=0, oldest=0, age=0, leads=True, jobs=jobs, schedules=schedules).decode()
    return dict(_families(text)) | dict(_families(_worker(folder)))


def _worker(folder: Path) -> str:
    def failing(request: object) -> ResponseError:
        return ResponseError("HTTP500", "no luck")

    one = worker(planned(folder), "w", AnsweringBackend(error=failing), index=0)
    asyncio.run(one.run())
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(one))
    return generate_latest(registry).decode()


def _families(text: str) -> Iterator[tuple[str, tuple[str, frozenset[str]]]]:
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, (family.type, frozenset(labels))
