"""Starting what a cron expression asks for, by the rules of CronJob: at most the latest of the times that were missed."""

from __future__ import annotations

from datetime import datetime, timedelta

from assay_operator.schedules.draft import DeleteJob, Draft, StartJob
from assay_operator.schedules.names import job_name, minute
from assay_operator.schedules.times import MANY, Times

_LONGEST_SLEEP = 300.0
"""Seconds between two looks at the clock, which may be put right meanwhile."""


def start_due(draft: Draft, times: Times) -> None:
    """Start the EvalJob of the latest time that has come, if one is due and may start."""
    seen, spec, now = draft.seen, draft.spec, draft.now
    if (ahead := times.next(now)) is not None:
        draft.look_again(min((ahead - now).total_seconds(), _LONGEST_SLEEP))
    last = draft.last_schedule_time or seen.created
    late = spec.starting_deadline_seconds
    since = last if late is None else max(last, now - timedelta(seconds=late))
    due = times.due(since, now)
    if due.latest is None:
        _nothing_to_start(draft, times, last)
        return
    number = minute(due.latest)
    if spec.concurrency_policy == "Forbid" and (active := draft.beside(number)):
        waits = f"{_shown(due.latest)} waits: EvalJob {active[0].name} has not ended (concurrencyPolicy Forbid)."
        draft.set("OnTime", "False", "WaitsForItsTurn", waits)
        return
    if due.missed > MANY and late is None:
        missed = (
            f"More than {MANY} times were missed; only that of {_shown(due.latest)} is started. Set "
            "spec.startingDeadlineSeconds, and check the clocks."
        )
        draft.set("OnTime", "False", "TooManyMissed", missed)
    else:
        draft.set("OnTime", "True", "Started", f"{_shown(due.latest)} was started.")
    draft.act(StartJob(number, due=due.latest))
    draft.tell("Started", f"EvalJob {job_name(seen.schedule.metadata.name, number)} is for {_shown(due.latest)}.")
    draft.last_schedule_time = due.latest
    if spec.concurrency_policy == "Replace":
        replace_active(draft, number)


def replace_active(draft: Draft, number: int) -> None:
    """Remove the EvalJobs that have not ended, apart from the one with this number."""
    for child in draft.beside(number):
        if not child.deleting:
            draft.act(DeleteJob(child.name, child.uid))
            draft.tell("Replaced", f"EvalJob {child.name} had not ended (concurrencyPolicy Replace).")


def _nothing_to_start(draft: Draft, times: Times, last: datetime) -> None:
    too_late = times.due(last, draft.now).latest if draft.spec.starting_deadline_seconds is not None else None
    if too_late is not None:
        limit = f"{draft.spec.starting_deadline_seconds} s late (spec.startingDeadlineSeconds)"
        draft.set("OnTime", "False", "StartMissed", f"{_shown(too_late)} was not started: it is more than {limit}.")
        return
    told = draft.condition("OnTime")
    # What was told of the last time stays until the next has come.
    if told is None or told.status == "Unknown" or told.reason in ("WaitsForItsTurn", "JobRefused"):
        draft.set("OnTime", "True", "NothingDue")


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
