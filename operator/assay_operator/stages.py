"""The two steps that are one small pod each: planning before the work, reducing after it.

What comes out of them is in their pods' last words. A pod whose word is lost is run again: both steps write once and give
the same bytes again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from assay_api import layout
from assay_api.reports import Ended, Headline, Planned, Reduced, read_report
from assay_api.status import ErrorClass, HeadlineResult, PlanStatus, ProgressStatus
from assay_operator.accept import effective_storage
from assay_operator.actions import CreateJob, DeleteJob, SetJob
from assay_operator.conditions import Kind
from assay_operator.diagnose import Trouble, ended_trouble, is_final, is_stranded, what_hinders, why_failed
from assay_operator.draft import Draft
from assay_operator.gates import note_of_gates, tell_gates
from assay_operator.names import Step, input_digest, spec_digest
from assay_operator.views import JobView, PodView

_HOPELESS = frozenset({"TooManyErrors", "Corrupt", "Incomplete"})
"""Failures, beside exit code 64, that another try cannot mend."""

_OTHER_VERSION = "is its image of this operator's version? Correct the runtime's images."

R = TypeVar("R", Planned, Reduced)


def plan_stage(draft: Draft) -> bool:
    """Bring the plan about; True when there is one."""
    if draft.plan is not None:
        return True
    if not draft.spec.suspend:
        draft.phase("Pending" if draft.refused else "Planning")
    job = draft.seen.jobs.get(Step.PLAN)
    if job is not None and not job.deleting and _is_outdated(draft, job):
        draft.act(DeleteJob(job.name, job.uid))
        draft.conditions.set("Planned", "False", "SpecChanged", "The spec was changed; it is planned anew.")
        draft.poll()
        return False
    report = _outcome(draft, Step.PLAN, job, Planned)
    if report is None or job is None:
        return False
    draft.plan = PlanStatus(
        digest=report.plan,
        specDigest=job.spec_digest or "",
        runUri=report.run,
        samples=report.samples,
        chunks=report.chunks,
        storageMode=report.storage_mode,
    )
    draft.progress = ProgressStatus(samplesTotal=report.samples)
    draft.conditions.set(
        "Planned",
        "True",
        "PlanWritten",
        f"{report.samples:,} samples in {report.chunks:,} chunks; plan {report.plan[:12]}.{_on_storage(report)}",
    )
    return True


def _on_storage(report: Planned) -> str:
    if report.storage_mode == "conditional":
        return ""
    return f" Storage mode fallback, since creations are not exclusive there: {report.storage_reason}"


def _is_outdated(draft: Draft, job: JobView) -> bool:
    """Whether the planner works from something else than what is asked for now.

    A plan that is written at the address of this job stays: it is taken, and the change is told. One that was written to another
    storage is left there.
    """
    runtime = draft.seen.runtime
    if runtime is None or draft.refused:
        return False
    wanted = input_digest(draft.spec, effective_storage(draft.seen.job, runtime.spec))
    written = job.complete or _last_word(draft.seen.of(Step.PLAN), Planned) is not None
    return job.input_digest != wanted and not (written and job.spec_digest != spec_digest(draft.spec))


def reduce_stage(draft: Draft) -> None:
    """Bring the results about."""
    if draft.plan is None:
        return
    if not draft.spec.suspend:
        draft.phase("Reducing")
    job = draft.seen.jobs.get(Step.REDUCE)
    report = _outcome(draft, Step.REDUCE, job, Reduced)
    if report is None:
        return
    draft.conditions.set("Reduced", "True", "ResultsWritten", f"results.json has SHA-256 {report.results[:12]}.")
    before = draft.progress or ProgressStatus()
    draft.progress = ProgressStatus(
        samplesDone=report.samples,
        samplesTotal=report.samples,
        errors=report.errors,
        errorClasses=[ErrorClass(name=name, count=count) for name, count in sorted(report.errors_by_class.items())],
        chunksCommitted=draft.plan.chunks,
        tokensIn=report.tokens_in,
        tokensOut=report.tokens_out,
        # What workers told alone.
        retries=before.retries,
        acceleratorSeconds=before.accelerator_seconds,
    )
    most = 64
    draft.results = {
        "results": [_row(row) for row in report.headlines[:most]],
        "results_omitted": report.omitted + max(0, len(report.headlines) - most),
        "results_uri": f"{draft.plan.run_uri}/{layout.RESULTS}",
        "results_digest": report.results,
    }
    tell_gates(draft, report.gates)
    draft.complete(note_of_gates(report.gates))


def _outcome(draft: Draft, step: Step, job: JobView | None, report: type[R]) -> R | None:
    """The report of the step's pod once it has one; until then the step is started, watched and judged."""
    kind: Kind = "Planned" if step is Step.PLAN else "Reduced"
    if job is None or job.deleting:
        held = draft.refused or draft.spec.suspend
        if job is None and not held:
            draft.act(CreateJob(step))
        draft.conditions.set(kind, "False", "Held" if held else "Running")
        if not held:
            draft.poll()
        return None
    pods = draft.seen.of(step)
    told = _last_word(pods, report)
    if told is not None and (job.complete or step is Step.PLAN):
        # A plan is final once it is written: the workers need not wait until the planner's Job has counted its pod.
        return told
    if job.complete:
        if any(pod.exit_code == 0 for pod in pods):
            draft.fail(Trouble("ReportMissing", f"The {step} pod ended well without a report; {_OTHER_VERSION}"))
            return None
        draft.act(DeleteJob(job.name, job.uid))
        draft.conditions.set(kind, "False", "ReportLost", "The pod's report is gone; the step is run again.")
        draft.look_again(1.0)
        return None
    if job.failure is not None:
        trouble = why_failed(job, pods)
        draft.conditions.set(kind, "False", trouble.reason, trouble.message)
        draft.fail(trouble)
        return None
    hopeless = [pod for pod in pods if is_final(pod) or _ended_as(pod) in _HOPELESS]
    if hopeless and (verdict := ended_trouble(hopeless[-1])):
        draft.conditions.set(kind, "False", verdict.reason, verdict.message)
        draft.fail(verdict)
        return None
    # A suspended Job removes its pods, and makes another when it goes on: the same Job, and no failure of its pod counted.
    suspend = draft.spec.suspend or any(is_stranded(pod, draft.now) for pod in pods)
    if job.suspended != suspend:
        draft.act(SetJob(job.name, job.uid, None, suspend))
    trouble_now, _ = what_hinders(job, pods, draft.seen.complaints, draft.now)
    if trouble_now is not None and not job.suspended:
        draft.conditions.set(kind, "False", trouble_now.reason, trouble_now.message)
        draft.note = draft.note or trouble_now.message
    else:
        draft.conditions.set(kind, "False", "Held" if draft.spec.suspend else "Running")
    draft.poll()
    return None


def _last_word(pods: Iterable[PodView], report: type[R]) -> R | None:
    """The report of the newest pod that ended well."""
    words = [read_report(pod.message) for pod in pods if pod.exit_code == 0]
    return next((word for word in reversed(words) if isinstance(word, report)), None)


def _ended_as(pod: PodView) -> str | None:
    report = read_report(pod.message)
    return report.kind if isinstance(report, Ended) else None


def _row(row: Headline) -> HeadlineResult:
    return HeadlineResult(
        task=row.task[:253],
        metric=row.metric[:253],
        value=row.value[:64],
        stderr=row.stderr and row.stderr[:64],
        ciLow=row.ci_low and row.ci_low[:64],
        ciHigh=row.ci_high and row.ci_high[:64],
        n=row.n,
        errors=row.errors,
    )
