"""The work step: keep one Indexed Job as the spec wants it, say how it is going, and see when every chunk is committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from assay_api.status import ProgressStatus
from assay_operator.actions import CreateJob, DeleteJob, SetJob, SetWorkload
from assay_operator.conditions import find
from assay_operator.diagnose import (
    Trouble,
    ended_trouble,
    server_trouble,
    servers_are_hopeless,
    what_hinders,
    why_failed,
)
from assay_operator.draft import Draft
from assay_operator.lost import at_work, lost_workers, workers_wanted
from assay_operator.names import Step, template_digest
from assay_operator.views import JobView, PodView

_NEWS_SECONDS = 15
_STALL_MINUTES = 2
"""After which a person is told that workers run and nothing is committed. A chunk takes about a minute."""


def work_stage(draft: Draft) -> bool:
    """Bring the work about; True when every chunk is committed."""
    if draft.conditions.is_true("ChunksCommitted"):
        return True
    if not draft.spec.suspend:
        draft.phase("Running")
    job = draft.seen.jobs.get(Step.WORK)
    if job is None or job.deleting:
        held = draft.refused or draft.spec.suspend
        if job is None and not held:
            draft.act(CreateJob(Step.WORK))
        draft.conditions.set("Running", "False", "Held" if held else "Starting")
        if not held:
            draft.poll()
        return False
    if job.complete:
        return _all_committed(draft)
    if job.failure is not None:
        trouble = why_failed(job, draft.seen.of(Step.WORK))
        draft.conditions.set("ChunksCommitted", "False", trouble.reason)
        draft.conditions.set("Running", "False", trouble.reason, trouble.message)
        draft.fail(trouble)
        return False
    hopeless = servers_are_hopeless(draft.seen.of(Step.WORK), _last_commit(draft), draft.now)
    if hopeless is not None and not draft.spec.suspend:
        draft.conditions.set("ChunksCommitted", "False", hopeless.reason)
        draft.conditions.set("Running", "False", hopeless.reason, hopeless.message)
        draft.fail(hopeless)
        return False
    _steer(draft, job)
    _tell(draft, job)
    return False


def _all_committed(draft: Draft) -> bool:
    plan, before = draft.plan, draft.progress or ProgressStatus()
    if plan is None:
        return False
    draft.progress = before.model_copy(
        update={
            "samples_done": plan.samples,
            "samples_total": plan.samples,
            "chunks_committed": plan.chunks,
            "samples_per_second": None,
            "eta": None,
            "last_commit_time": None,
        }
    )
    draft.conditions.set("ChunksCommitted", "True", "AllCommitted", f"{plan.chunks:,} of {plan.chunks:,} chunks.")
    draft.conditions.set("Running", "False", "AllCommitted")
    return True


def _steer(draft: Draft, job: JobView) -> None:
    """Bring the Job in line with suspend, replicas and template. What Kueue manages is held through its Workload."""
    workload, spec = draft.seen.workload, draft.spec
    if draft.refused:
        _hold(draft, job)
        return
    suspend: bool | None = spec.suspend
    if workload is not None:
        suspend = None
        resumes = not spec.suspend and not workload.active and job.suspended and job.active == 0
        if resumes and job.template_digest != template_digest(draft.seen.job):
            draft.act(DeleteJob(job.name, job.uid))
            return
        if workload.active == spec.suspend:
            draft.act(SetWorkload(workload.name, active=not spec.suspend))
    elif spec.queue_name is not None and job.suspended and not spec.suspend and not _held_it_before(draft, job):
        suspend = None
    changed = suspend is not None and job.suspended != suspend
    if changed and not suspend and job.template_digest != template_digest(draft.seen.job):
        if job.active == 0:
            draft.act(DeleteJob(job.name, job.uid))
        return
    workers = workers_wanted(draft.seen, spec, draft.now)
    if changed or job.parallelism != workers:
        draft.act(SetJob(job.name, job.uid, workers, suspend))


def _hold(draft: Draft, job: JobView) -> None:
    """What a refused job may still do: stop, and shrink."""
    workload, spec = draft.seen.workload, draft.spec
    if workload is not None and workload.active and spec.suspend:
        draft.act(SetWorkload(workload.name, active=False))
        return
    suspend = job.suspended or spec.suspend
    replicas = min(spec.replicas, job.parallelism)
    if (suspend, replicas) != (job.suspended, job.parallelism):
        draft.act(SetJob(job.name, job.uid, replicas, suspend if workload is None else None))


def _held_it_before(draft: Draft, job: JobView) -> bool:
    """Whether the Job is suspended because the user had asked for it, and not because it waits in a queue."""
    before = find(draft.seen.status.conditions, "Suspended")
    if before is None or job.created is None or before.reason not in ("SuspendedByUser", "Resumed"):
        return False
    return job.created < before.last_transition_time


def _tell(draft: Draft, job: JobView) -> None:
    if draft.spec.queue_name is not None:
        _tell_of_the_queue(draft, job)
    pods = draft.seen.of(Step.WORK)
    working = [pod for pod in pods if at_work(pod, draft.now)]
    running, lost = len(working), lost_workers(draft.seen, draft.now)
    _tell_progress(draft, running=running, held=job.suspended)
    if draft.spec.suspend:
        draft.conditions.set("Running", "False", "Suspended")
        if running:
            draft.note = draft.note or f"{running} workers finish what they hold."
        draft.poll()
        return
    trouble, _ = what_hinders(job, pods, draft.seen.complaints, draft.now)
    waiting = max(0, draft.spec.replicas - running)
    serverless = [found for pod in working if (found := server_trouble(pod, _last_commit(draft)))]
    if serverless and len(serverless) == running and trouble is None:
        _tell_of_servers(draft, serverless[0])
        return
    if trouble is not None and waiting == 0:
        # An index waits for room that its stand-in has.
        trouble = None
    if trouble is not None and running:
        draft.note = draft.note or f"{waiting} of {draft.spec.replicas} workers wait: {trouble.message}"
    elif trouble is not None:
        draft.note = draft.note or trouble.message
    elif serverless:
        draft.note = draft.note or f"{len(serverless)} of {draft.spec.replicas} workers wait: {serverless[0].message}"
    elif running and (stall := _stall(draft, pods)):
        draft.note = draft.note or stall
    elif lost:
        draft.note = draft.note or _of_the_lost(draft, lost)
    elif job.template_digest != template_digest(draft.seen.job):
        draft.note = draft.note or "spec.template was changed; suspend and resume the job to use it."
    if running:
        draft.conditions.set("Running", "True", "WorkersRunning", draft.note)
    elif job.suspended and draft.spec.queue_name is not None:
        draft.phase("Queued")
        draft.conditions.set("Running", "False", "Queued", draft.note)
    elif trouble is not None:
        draft.conditions.set("Running", "False", trouble.reason, trouble.message)
    elif lost:
        draft.conditions.set("Running", "False", "WorkersLost", draft.note)
    else:
        draft.conditions.set("Running", "False", "Starting")
    draft.poll()


def _tell_of_servers(draft: Draft, trouble: Trouble) -> None:
    """Workers run, and none of them has a server to ask."""
    draft.note = draft.note or trouble.message
    draft.conditions.set("Running", "False", trouble.reason, trouble.message)
    draft.poll()


def _of_the_lost(draft: Draft, lost: int) -> str:
    who = "A worker is" if lost == 1 else f"{lost} workers are"
    stood_in = workers_wanted(draft.seen, draft.spec, draft.now) > draft.spec.replicas
    then = "others stand in" if stood_in else "the node is waited for"
    return f"{who} lost with a node that does not answer; {then}."


def _last_commit(draft: Draft) -> datetime | None:
    return draft.progress.last_commit_time if draft.progress else None


def _tell_of_the_queue(draft: Draft, job: JobView) -> None:
    workload = draft.seen.workload
    queue = draft.spec.queue_name
    if workload is None:
        if job.suspended:
            message = f"Kueue has not taken the Job up yet; is there a LocalQueue {queue} in this namespace?"
            draft.conditions.set("QuotaReserved", "False", "NoWorkload", message)
            draft.note = draft.note or message
        else:
            message = f"Nobody queues this Job: Kueue does not run in this cluster, so queue {queue} has no effect."
            draft.conditions.set("QuotaReserved", "Unknown", "KueueAbsent", message)
        return
    if workload.quota_reserved:
        draft.conditions.set("QuotaReserved", "True", workload.reason or "QuotaReserved", workload.message)
    else:
        draft.conditions.set("QuotaReserved", "False", workload.reason or "Pending", workload.message)
        draft.note = draft.note or workload.message


def _stall(draft: Draft, pods: Sequence[PodView]) -> str:
    """What to say when workers run and nothing comes of it; nothing while samples are committed."""
    since = draft.progress.last_commit_time if draft.progress else None
    minutes = int((draft.now - since).total_seconds() // 60) if since else 0
    if minutes < _STALL_MINUTES:
        return ""
    failed = [trouble for pod in pods if (trouble := ended_trouble(pod))]
    why = (
        f"a worker had ended with: {failed[-1].message}"
        if failed
        else f"see: assay logs {draft.seen.job.metadata.name}"
    )
    return f"No sample was committed for {minutes} min; {why}"


def _tell_progress(draft: Draft, *, running: int, held: bool) -> None:
    told, before, plan = draft.seen.progress, draft.progress or ProgressStatus(), draft.plan
    if plan is None:
        return
    since = None if held else before.last_commit_time or draft.now
    if told is None:
        update: dict[str, object] = {"last_commit_time": since}
        # A worker that does not answer once says nothing of the others; none at all means no speed and no end in sight.
        update |= {} if running else {"samples_per_second": None, "eta": None}
        draft.progress = before.model_copy(update=update)
        return
    done = max(before.samples_done, min(told.samples_done, plan.samples))
    rate = told.samples_per_second
    eta = draft.now + timedelta(seconds=round((plan.samples - done) / rate)) if rate else None
    # An estimate that moves by a few seconds at every look is no news.
    if eta and before.eta and abs((eta - before.eta).total_seconds()) < _NEWS_SECONDS:
        eta = before.eta
    draft.progress = ProgressStatus(
        samplesDone=done,
        samplesTotal=plan.samples,
        errors=max(before.errors, told.errors),
        errorClasses=told.error_classes if told.errors >= before.errors else before.error_classes,
        retries=max(before.retries, told.retries),
        chunksCommitted=max(before.chunks_committed, min(told.chunks_committed, plan.chunks)),
        tokensIn=max(before.tokens_in, told.tokens_in),
        tokensOut=max(before.tokens_out, told.tokens_out),
        acceleratorSeconds=max(before.accelerator_seconds, told.accelerator_seconds),
        samplesPerSecond=rate,
        eta=eta,
        lastCommitTime=draft.now if done > before.samples_done and not held else since,
    )
