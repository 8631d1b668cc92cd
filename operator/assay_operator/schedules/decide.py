"""The whole policy of schedules as one pure function: what is seen, and the time, give what to start, to remove and to tell.

Level-triggered as the policy of EvalJobs is. An EvalJob counts as started when the status says so, which is written after it
was made under its fixed name; until then it is made again, and nothing of it is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from assay_api.evalschedule import mentions_checkpoint
from assay_operator.accept import Refusal, on_a_volume, refuse
from assay_operator.schedules.draft import Decision, DeleteJob, Draft
from assay_operator.schedules.due import start_due
from assay_operator.schedules.names import minute
from assay_operator.schedules.render import template_job
from assay_operator.schedules.seen import Child, Seen
from assay_operator.schedules.times import BadTimes, Times
from assay_operator.schedules.watching import watch


def decide(seen: Seen, now: datetime) -> Decision:
    """What to do about one EvalSchedule.

    Args:
        now: the time, in whole seconds.
    """
    if seen.deleting:
        # Kubernetes removes what it owns.
        return Decision(seen.status)
    draft = Draft(seen, now)
    times = _accept(draft)
    if draft.held:
        reason = "Suspended" if draft.spec.suspend else "Held"
        draft.set("OnTime", "Unknown", reason, "spec.suspend is set; nothing is started." if draft.spec.suspend else "")
    if draft.spec.watch is not None:
        watch(draft, draft.spec.watch)
    elif times is not None and not draft.held:
        start_due(draft, times)
    draft.act(*_beyond_the_history(seen))
    return draft.finish()


def _accept(draft: Draft) -> Times | None:
    """Say whether the schedule can be followed; the times of a cron expression that can."""
    times = None
    refusal = _refuse(draft.seen)
    if refusal is None and (cron := draft.spec.cron) is not None:
        try:
            times = Times(cron.schedule, cron.time_zone)
        except BadTimes as error:
            refusal = Refusal("InvalidCron", str(error))
    if refusal is None:
        draft.set("Accepted", "True", "Accepted")
        return times
    draft.held = True
    draft.set("Accepted", "False", refusal.reason, refusal.message)
    return None


def _refuse(seen: Seen) -> Refusal | None:
    spec = seen.schedule.spec
    if spec.watch is not None and not mentions_checkpoint(spec.template.spec):
        return Refusal(
            "CheckpointNotUsed",
            "spec.template.spec.model: neither $(CHECKPOINT_URI) nor $(CHECKPOINT_NAME) is in name, args or server.args, so "
            "every checkpoint would be the same job; write one of them where the model is named.",
        )
    refusal = refuse(template_job(seen.schedule), seen.runtime)
    if refusal is not None:
        return Refusal(refusal.reason, refusal.message.replace("spec.", "spec.template.spec.", 1))
    if spec.watch is not None and seen.runtime is not None and not on_a_volume(spec.watch.uri, seen.runtime.spec):
        return Refusal(
            "WatchNotShared",
            f"spec.watch.uri: {spec.watch.uri} is on no volume of runtime {spec.template.spec.runtime_ref.name}; use "
            "s3://bucket/prefix or a folder on a mounted volume.",
        )
    return None


def _beyond_the_history(seen: Seen) -> Iterator[DeleteJob]:
    """Ended EvalJobs of which there are more than are kept, oldest first to go."""
    spec = seen.schedule.spec
    told = [child for child in seen.children if child.ended and _counts_as_started(seen, child)]
    yield from _oldest([child for child in told if child.succeeded], spec.successful_jobs_history_limit)
    yield from _oldest([child for child in told if child.failed], spec.failed_jobs_history_limit)


def _oldest(children: Sequence[Child], kept: int) -> Iterator[DeleteJob]:
    by_age = sorted(children, key=_ended_at)
    for child in by_age[: max(0, len(by_age) - kept)]:
        if not child.deleting:
            yield DeleteJob(child.name, child.uid)


def _ended_at(child: Child) -> tuple[float, int]:
    moment = child.completed or child.created
    return (moment.timestamp() if moment else 0.0, child.number)


def _counts_as_started(seen: Seen, child: Child) -> bool:
    if seen.schedule.spec.watch is not None:
        return seen.status.watch is not None and child.number <= seen.status.watch.started
    last = seen.status.last_schedule_time
    return last is not None and child.number <= minute(last)
