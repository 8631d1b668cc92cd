"""The whole policy of the operator as one pure function: what is seen, and the time, give what to do and what to tell.

It is level-triggered: nothing depends on which event was seen, in what order, or by whom. Everything it asks for may be
carried out twice or too late. A job that has ended stays as it ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from assay_api.status import Summary
from assay_operator.accept import refuse
from assay_operator.actions import CreateJob, DeleteEvalJob, DeleteJob, SetFinalizer
from assay_operator.baselines import refuse_baselines
from assay_operator.conditions import Conditions, Kind, is_true
from assay_operator.diagnose import Trouble
from assay_operator.draft import Decision, Draft, stop_everything
from assay_operator.names import Step, spec_digest
from assay_operator.observed import Observed
from assay_operator.stages import plan_stage, reduce_stage
from assay_operator.summary import shortened
from assay_operator.working import work_stage

_LONGEST = 1500
_TRY_AGAIN = 15.0
_POLL = 2.0
"""Seconds between looks at what sends no event."""


def decide(seen: Observed, now: datetime) -> Decision:
    """What to do about one EvalJob.

    Args:
        now: the time, in whole seconds, as it is written into conditions.
    """
    if seen.namespace_ends:
        return Decision(seen.status, tuple(DeleteJob(job.name, job.uid) for job in seen.jobs.values()), _POLL)
    if seen.deleting:
        return _let_go(seen)
    if has_ended(seen):
        return _after_the_end(seen, now)
    draft = Draft(seen, now)
    if seen.finalizer != (seen.job.spec.reclaim_policy == "Delete"):
        draft.act(SetFinalizer(present=not seen.finalizer))
    _accept(draft)
    _suspend_or_resume(draft)
    if not _is_overdue(draft) and plan_stage(draft) and work_stage(draft):
        reduce_stage(draft)
    return draft.finish()


def told_of_refusal(decision: Decision, step: Step, why: str, generation: int, now: datetime) -> Decision:
    """The decision's status when the API server would not have the Job of a step; it is tried again after a while."""
    kinds: dict[Step, Kind] = {Step.PLAN: "Planned", Step.WORK: "Running", Step.REDUCE: "Reduced"}
    kind = kinds.get(step, "Accepted")
    message = f"The API server refuses the pods of this step: {why}"[:_LONGEST]
    conditions = Conditions(decision.status.conditions, generation, now.replace(microsecond=0))
    conditions.set(kind, "False", "JobRefused", message)
    summary = (decision.status.summary or Summary()).model_copy(update={"note": shortened(message)})
    status = decision.status.model_copy(update={"conditions": conditions.list(), "summary": summary})
    return Decision(status, (), _TRY_AGAIN)


def has_ended(seen: Observed) -> bool:
    """Whether the job has its terminal condition."""
    return is_true(seen.status.conditions, "Complete") or is_true(seen.status.conditions, "Failed")


def _accept(draft: Draft) -> None:
    refusal = refuse(draft.seen.job, draft.seen.runtime)
    if refusal is None and draft.plan is None:
        refusal = refuse_baselines(draft.seen.job, draft.seen.baselines)
        # What becomes of another job is no event of this one.
        draft.look_again(_TRY_AGAIN) if refusal else None
    draft.refused = refusal is not None
    if refusal is not None:
        draft.conditions.set("Accepted", "False", refusal.reason, refusal.message)
        draft.note = refusal.message
        return
    if changed := _changed_after_planning(draft):
        draft.conditions.set("Accepted", "False", "SpecChanged", changed)
        draft.note = changed
        return
    draft.conditions.set("Accepted", "True", "Accepted")
    if draft.start_time is None and not draft.spec.suspend:
        draft.start_time = draft.now


def _changed_after_planning(draft: Draft) -> str:
    if draft.plan is None or draft.plan.spec_digest == spec_digest(draft.spec):
        return ""
    return (
        "spec: what defines the numbers was changed after the plan was made; the run goes on as planned. "
        "Make another EvalJob for what it says now."
    )


def _suspend_or_resume(draft: Draft) -> None:
    if draft.spec.suspend:
        draft.conditions.set("Suspended", "True", "SuspendedByUser", "spec.suspend is set; what was committed is kept.")
        draft.start_time = None
        draft.phase("Suspended")
    elif draft.conditions.is_true("Suspended"):
        draft.conditions.set("Suspended", "False", "Resumed")


def _is_overdue(draft: Draft) -> bool:
    limit = draft.spec.active_deadline_seconds
    if limit is None or draft.start_time is None:
        return False
    left = (draft.start_time + timedelta(seconds=limit) - draft.now).total_seconds()
    if left > 0:
        draft.look_again(left)
        return False
    done = f"{draft.progress.samples_done:,} samples were committed" if draft.progress else "nothing was committed"
    draft.fail(
        Trouble(
            "DeadlineExceeded",
            f"The job ran longer than spec.activeDeadlineSeconds ({limit} s); {done} and stay in the store.",
        )
    )
    return True


def _after_the_end(seen: Observed, now: datetime) -> Decision:
    status, ttl = seen.status, seen.job.spec.ttl_seconds_after_finished
    actions = list(stop_everything(seen))
    if seen.finalizer != (seen.job.spec.reclaim_policy == "Delete"):
        actions.append(SetFinalizer(present=not seen.finalizer))
    if ttl is None or status.completion_time is None:
        return Decision(status, tuple(actions))
    left = (status.completion_time + timedelta(seconds=ttl) - now).total_seconds()
    if left > 0:
        return Decision(status, tuple(actions), left)
    return Decision(status, (*actions, DeleteEvalJob()))


def _let_go(seen: Observed) -> Decision:
    """Kubernetes removes the children of an object that is gone; only one that waits for its run's removal needs more."""
    if not seen.finalizer:
        return Decision(seen.status)
    release = Decision(seen.status, (SetFinalizer(present=False),))
    if seen.job.spec.reclaim_policy != "Delete":
        return release
    children = [job for step, job in seen.jobs.items() if step is not Step.DELETE]
    alive = [job for job in children if not job.deleting]
    if alive:
        return Decision(seen.status, tuple(DeleteJob(job.name, job.uid) for job in alive), _POLL)
    if children or any(pod.step != Step.DELETE for pod in seen.pods):
        return Decision(seen.status, (), _POLL)
    removal = seen.jobs.get(Step.DELETE)
    if removal is None:
        nothing_written = seen.status.plan is None and not is_started(seen)
        if nothing_written or refuse(seen.job, seen.runtime) is not None:
            return release
        return Decision(seen.status, (CreateJob(Step.DELETE),), _POLL)
    return release if removal.finished else Decision(seen.status, (), _POLL)


def is_started(seen: Observed) -> bool:
    """Whether a planner was ever started."""
    return any(condition.type == "Planned" for condition in seen.status.conditions)
