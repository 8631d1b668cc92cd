"""Keeping a prefix watched by one small pod after the other, and starting EvalJobs for what they have found.

The pod has no token: it tells by its last word, and the next one is told by its arguments what is known. A report is taken
into the status first and its Job removed afterwards, so a report is never lost; one that is read twice changes nothing.
"""

from __future__ import annotations

from assay_api.evalschedule import Watch
from assay_api.reports import Watched, read_report
from assay_api.schedule_status import MOST_SHOWN, PendingCheckpoint, WatchStatus
from assay_operator.diagnose import Trouble, ended_trouble, is_final, what_hinders, why_failed
from assay_operator.schedules.draft import DeleteWatcher, Draft, StartJob, StartWatcher
from assay_operator.schedules.due import replace_active
from assay_operator.schedules.names import job_name
from assay_operator.schedules.render import watcher_digest
from assay_operator.views import JobView

MOST_PENDING = 32
"""Checkpoints that wait for their EvalJobs, from which on no more are looked for."""
RETRY_SECONDS = 300.0
"""From the start of a watcher that fails to the start of the next."""
_SOON, _POLL = 0.5, 5.0


def watch(draft: Draft, what: Watch) -> None:
    """Take what the watcher tells, have one run where one should, and start EvalJobs."""
    state = draft.watch or WatchStatus()
    news = _news(draft, state)
    draft.watch = state.model_copy(
        update={"found": state.found + len(news), "pending": [*state.pending, *news]} if news else {}
    )
    if news:
        draft.look_again(_SOON)
    else:
        _keep_watching(draft, what)
    if not draft.held:
        _start(draft)


def _news(draft: Draft, state: WatchStatus) -> list[PendingCheckpoint]:
    """What the ended watcher has found beyond what the status holds."""
    if draft.seen.watcher is None or not draft.seen.watcher.complete:
        return []
    news: list[PendingCheckpoint] = []
    for pod in draft.seen.pods:
        report = read_report(pod.message)
        for landed in report.found if isinstance(report, Watched) and pod.exit_code == 0 else ():
            if landed.number == state.found + len(news) + 1 and len(state.pending) + len(news) < MOST_SHOWN:
                news.append(PendingCheckpoint(number=landed.number, name=landed.name))
    return news


def _keep_watching(draft: Draft, what: Watch) -> None:
    seen, job, state = draft.seen, draft.seen.watcher, draft.watch or WatchStatus()
    wanted = not draft.held and len(state.pending) < MOST_PENDING
    if draft.held:
        draft.set("Watching", "False", "Suspended" if draft.spec.suspend else "Held")
    elif not wanted:
        waiting = f"{len(state.pending)} checkpoints wait for their EvalJobs; more are looked for when fewer do."
        draft.set("Watching", "Unknown", "Full", waiting)
    if job is None:
        if wanted:
            draft.act(StartWatcher(state.found))
            draft.look_again(_POLL)
            _not_yet(draft)
        return
    if job.deleting:
        draft.look_again(_POLL)
        return
    if not wanted or (seen.runtime and job.input_digest != watcher_digest(seen.schedule, seen.runtime)):
        draft.act(DeleteWatcher(job.name, job.uid))
        draft.look_again(_SOON)
        return
    if trouble := _failure(draft, job):
        draft.set("Watching", "False", trouble.reason, trouble.message)
        age = (draft.now - job.created).total_seconds() if job.created else RETRY_SECONDS
        if age < RETRY_SECONDS:
            draft.look_again(RETRY_SECONDS - age)
            return
    if trouble or job.complete:
        draft.act(DeleteWatcher(job.name, job.uid))
        draft.look_again(_SOON)
        return
    hindered, _ = what_hinders(job, seen.pods, seen.complaints, draft.now)
    if hindered is not None:
        draft.set("Watching", "False", hindered.reason, hindered.message)
        draft.look_again(_POLL)
    elif any(pod.running for pod in seen.pods):
        draft.set("Watching", "True", "Watching", f"{what.uri} is watched for {what.pattern}.")
    else:
        _not_yet(draft)
        draft.look_again(_POLL)


def _failure(draft: Draft, job: JobView) -> Trouble | None:
    """Why the watcher ended without doing its work."""
    pods = draft.seen.pods
    if job.failure is not None:
        return why_failed(job, pods)
    if job.complete:
        ended = [pod for pod in pods if pod.exit_code == 0]
        if ended and not any(isinstance(read_report(pod.message), Watched) for pod in ended):
            return Trouble(
                "ReportMissing",
                "The watch pod ended well without a report; is its image of this operator's version? Correct the runtime's "
                "images.",
            )
        return None
    hopeless = [pod for pod in pods if is_final(pod)]
    return ended_trouble(hopeless[-1]) if hopeless else None


def _not_yet(draft: Draft) -> None:
    """Between one watcher and the next nothing is said anew."""
    told = draft.condition("Watching")
    if told is None or told.reason in ("Suspended", "Held", "Full"):
        draft.set("Watching", "False", "Starting")


def _start(draft: Draft) -> None:
    state = draft.watch or WatchStatus()
    waiting, policy = state.pending, draft.spec.concurrency_policy
    if not waiting:
        told = draft.condition("OnTime")
        if told is None or told.status != "True":
            draft.set("OnTime", "True", "NothingDue")
        return
    if policy == "Forbid" and (active := draft.beside(waiting[0].number)):
        draft.set("OnTime", "False", "WaitsForItsTurn", _waiting(len(waiting), active[0].name))
        return
    chosen = {"Allow": waiting, "Forbid": waiting[:1], "Replace": waiting[-1:]}[policy]
    for each in chosen:
        draft.act(StartJob(each.number, checkpoint=each.name))
        draft.tell("Started", f"EvalJob {job_name(draft.seen.schedule.metadata.name, each.number)} is for {each.name}.")
    if policy == "Replace":
        replace_active(draft, chosen[-1].number)
    left = [each for each in waiting if each.number > chosen[-1].number]
    draft.watch = state.model_copy(
        update={"pending": left, "started": chosen[-1].number, "last_checkpoint": chosen[-1].name}
    )
    draft.last_schedule_time = draft.now
    if left:
        name = job_name(draft.seen.schedule.metadata.name, chosen[-1].number)
        draft.set("OnTime", "False", "WaitsForItsTurn", _waiting(len(left), name))
    else:
        draft.set("OnTime", "True", "Started", f"{chosen[-1].name} was started.")


def _waiting(count: int, name: str) -> str:
    wait = "1 checkpoint waits" if count == 1 else f"{count} checkpoints wait"
    return f"{wait}: EvalJob {name} has not ended (concurrencyPolicy Forbid)."
