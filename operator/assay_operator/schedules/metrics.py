"""What metrics say of EvalSchedules: a small view of each, and their exposition, made anew at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from assay_operator.job_metrics import Rows, gauge
from assay_operator.views import moment
from assay_operator.watched import Key

Raw = Mapping[str, Any]

_SCHEDULE = ("namespace", "evalschedule")
_CONDITIONS = ("Accepted", "Watching", "OnTime")
_NUMBERS = {"True": 1.0, "False": 0.0, "Unknown": -1.0}


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """What is told of one EvalSchedule."""

    suspended: bool
    conditions: tuple[tuple[str, float], ...]
    """Type → 1 when it holds, 0 when not, -1 when it cannot be told."""
    active: int
    """EvalJobs of it that have not ended."""
    started: float | None
    succeeded: float | None
    """Times in seconds since 1970."""


def schedule_view(raw: Raw) -> ScheduleView:
    """The view of an EvalSchedule; what it lacks is left out."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    found = {item.get("type"): _NUMBERS.get(item.get("status", "")) for item in status.get("conditions") or []}
    return ScheduleView(
        suspended=bool(spec.get("suspend")),
        conditions=tuple((kind, number) for kind in _CONDITIONS if (number := found.get(kind)) is not None),
        active=status.get("activeCount") or 0,
        started=_seconds(status.get("lastScheduleTime")),
        succeeded=_seconds(status.get("lastSuccessfulTime")),
    )


def exposition(schedules: Mapping[Key, ScheduleView]) -> bytes:
    """All families, also those without series."""
    registry = CollectorRegistry()
    registry.register(_Families(schedules))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, schedules: Mapping[Key, ScheduleView]) -> None:
        self._schedules = schedules

    def collect(self) -> Iterator[Metric]:
        each = self._schedules.items()
        conditions = (((*key, kind), number) for key, view in each for kind, number in view.conditions)
        yield _family(
            "condition", "1 for a condition that holds, 0 when not, -1 when it cannot be told.", conditions, "type"
        )
        yield _family("suspended", "1 when it is suspended.", ((key, float(view.suspended)) for key, view in each))
        yield _family("active_jobs", "EvalJobs of it that have not ended.", ((key, view.active) for key, view in each))
        started = ((key, view.started) for key, view in each if view.started is not None)
        yield _family("last_time_seconds", "The time for which an EvalJob was last started.", started)
        succeeded = ((key, view.succeeded) for key, view in each if view.succeeded is not None)
        yield _family("last_success_time_seconds", "When an EvalJob of it was last completed.", succeeded)


def _family(name: str, documentation: str, rows: Rows, *labels: str) -> Metric:
    return gauge(f"assay_schedule_{name}", documentation, [*_SCHEDULE, *labels], rows)


def _seconds(text: str | None) -> float | None:
    at = moment(text)
    return at.timestamp() if at else None
