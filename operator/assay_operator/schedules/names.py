"""Names and labels of what a schedule makes: deterministic, so that starting a run twice starts it once."""

from __future__ import annotations

from datetime import datetime

from assay_api.evaljob import GROUP
from assay_operator.names import OURS, STEP, child_name

SCHEDULE, SCHEDULE_UID = f"{GROUP}/schedule", f"{GROUP}/schedule-uid"
"""Labels of EvalJobs and of the watching Job and its pod."""
SCHEDULED_FOR = f"{GROUP}/scheduled-for"
"""Annotation of an EvalJob: the time of the cron expression that it was started for."""
CHECKPOINT = f"{GROUP}/checkpoint"
"""Annotation of an EvalJob: address of its checkpoint."""
WATCH = "watch"
"""The step of the watching pod."""


def job_name(schedule: str, number: int) -> str:
    """Name of the EvalJob for a time (its minute since 1970, as CronJob does) or for a checkpoint (its number)."""
    return f"{schedule}-{number}"


def number_of(schedule: str, job: str) -> int | None:
    """The number in an EvalJob's name; None when the schedule gives no such names."""
    digits = job.removeprefix(f"{schedule}-")
    number = int(digits) if digits.isascii() and digits.isdecimal() else -1
    return number if job == job_name(schedule, number) else None


def minute(moment: datetime) -> int:
    """The number of a time."""
    return int(moment.timestamp()) // 60


def owned_by(schedule: str, uid: str) -> dict[str, str]:
    """Labels of the schedule's EvalJobs."""
    return {SCHEDULE: schedule, SCHEDULE_UID: uid}


def watcher_name(schedule: str, uid: str) -> str:
    """Name of the watching Job."""
    return child_name(schedule, uid, WATCH)


def watcher_labels(schedule: str, uid: str) -> dict[str, str]:
    """Labels of the watching Job and its pod."""
    return OURS | owned_by(schedule, uid) | {STEP: WATCH}
