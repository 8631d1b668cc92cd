"""Looks at one EvalJob and all that belongs to it: live reads of what may still change, watched views of what explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from assay_api.errors import SpecError, from_validation
from assay_api.evaljob import EvalJob
from assay_api.reports import Planned, Reduced, read_report
from assay_api.status import EvalJobStatus
from assay_operator import baselines
from assay_operator.api_server import EVALJOBS, JOBS, NAMESPACES, PODS, WORKLOADS, ApiError, ApiServer, Json
from assay_operator.baselines import Baselines
from assay_operator.complaints import Complaints
from assay_operator.conditions import Kind, find, is_true
from assay_operator.decide import has_ended
from assay_operator.names import JOB_UID, STEP, Step, child_name
from assay_operator.observed import Observed
from assay_operator.pace import poll_seconds
from assay_operator.progress import Scraper
from assay_operator.views import JobView, PodView, WorkloadView, job_view, pod_view, workload_view
from assay_operator.watched import Watched, in_order

_LAST_WORDS = {Step.PLAN: Planned, Step.REDUCE: Reduced}
_CONDITIONS: Mapping[Step, Kind] = {Step.PLAN: "Planned", Step.WORK: "Running", Step.REDUCE: "Reduced"}
"""Where a step is told of."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An EvalJob that this operator does not understand."""

    error: SpecError


class Observer:
    """Reads what a decision is made from."""

    def __init__(self, api: ApiServer, watched: Watched, scraper: Scraper, complaints: Complaints) -> None:
        self._api, self._watched, self._scraper, self._complaints = api, watched, scraper, complaints

    async def observe(self, raw: Json) -> Observed | Unreadable:
        """Everything about the live EvalJob `raw`.

        Raises:
            ApiError: the API server did not answer.
        """
        try:
            job = EvalJob.model_validate({**raw, "status": None})
            # A newer operator may have written more than this one knows.
            status = EvalJobStatus.model_validate(raw.get("status") or {}, extra="ignore")
            job = job.model_copy(update={"status": status})
        except ValidationError as error:
            return Unreadable(from_validation(error, f"EvalJob {raw['metadata']['name']}", EvalJob))
        meta = raw["metadata"]
        seen = Observed(
            job=job,
            status=status,
            uid=meta["uid"],
            generation=meta.get("generation") or 0,
            deleting=bool(meta.get("deletionTimestamp")),
            finalizers=tuple(meta.get("finalizers") or ()),
            version=meta.get("resourceVersion", ""),
            runtime=self._watched.runtime_named(job.spec.runtime_ref.name),
            jobs=self._watched.jobs_of(meta["uid"]),
            pods=self._watched.pods_of(meta["uid"]),
            poll_seconds=poll_seconds(self._watched.going),
            answering=self._api.answering,
        )
        if await self._namespace_ends(seen):
            return replace(seen, namespace_ends=True)
        if has_ended(seen) and not seen.deleting:
            return seen
        jobs = await self._live_jobs(seen)
        pods = await self._telling_pods(seen, jobs)
        work = jobs.get(Step.WORK)
        return replace(
            seen,
            jobs=jobs,
            pods=pods,
            complaints=await self._complaints.about(
                job.metadata.namespace,
                [(child, replace(seen, jobs=jobs, pods=pods).of(step)) for step, child in jobs.items()],
            ),
            progress=await self._scraper.scrape(replace(seen, jobs=jobs, pods=pods).of(Step.WORK))
            if work and not work.finished
            else None,
            workload=await self._workload(job, work),
            baselines=await self._baselines(seen),
        )

    async def _namespace_ends(self, seen: Observed) -> bool:
        """Whether the namespace is being removed; asked only when pods of the work Job are held that have ended.

        A namespace's pods are removed before its Jobs, and a Job that counts failures per index holds the last failed pod of an
        index until it has made the next one, which it may not in such a namespace: the namespace would stay for ever.
        """
        work = seen.jobs.get(Step.WORK)
        if work is None or work.finished:
            return False
        if not any(pod.deleting and pod.exit_code is not None for pod in seen.of(Step.WORK)):
            return False
        namespace = await self._api.get(NAMESPACES, None, seen.job.metadata.namespace)
        return namespace is not None and "deletionTimestamp" in namespace["metadata"]

    async def _live_jobs(self, seen: Observed) -> Mapping[Step, JobView]:
        """The Jobs of the steps that matter now; a step that is over is not asked for again."""
        steps = [Step.WORK] if seen.status.plan is not None else [Step.PLAN]
        if is_true(seen.status.conditions, "ChunksCommitted"):
            steps = [Step.REDUCE]
        if seen.deleting:
            steps = list(Step) if seen.finalizer else []
        found = dict(seen.jobs)
        meta = seen.job.metadata
        for step in steps:
            if not seen.deleting and step not in found and _untold(seen.status, step):
                # Never begun; and had a Job been made all the same, making it once more changes nothing.
                continue
            if not seen.deleting and _is_over(seen, step):
                continue
            live = await self._api.get(JOBS, meta.namespace, child_name(meta.name, seen.uid, step))
            if live is None:
                found.pop(step, None)
            else:
                found[step] = job_view(live)
        return found

    async def _telling_pods(self, seen: Observed, jobs: Mapping[Step, JobView]) -> tuple[PodView, ...]:
        """The pods; read live where a Job has ended and its pod's last word has not been seen."""
        pods = seen.pods
        for step, report in _LAST_WORDS.items():
            job = jobs.get(step)
            if job is None or not job.finished or (step is Step.PLAN and seen.status.plan is not None):
                continue
            told = any(pod.owner == job.uid and isinstance(read_report(pod.message), report) for pod in pods)
            if job.complete and told:
                continue
            pods = await self._read_pods(seen, step, pods)
        work = jobs.get(Step.WORK)
        if work is not None and work.failure is not None:
            pods = await self._read_pods(seen, Step.WORK, pods)
        return pods

    async def _read_pods(self, seen: Observed, step: Step, pods: tuple[PodView, ...]) -> tuple[PodView, ...]:
        labels = f"{JOB_UID}={seen.uid},{STEP}={step}"
        listing = await self._api.list(PODS, seen.job.metadata.namespace, labels=labels)
        return in_order([*(pod for pod in pods if pod.step != step), *map(pod_view, listing.items)])

    async def _baselines(self, seen: Observed) -> Baselines:
        """The EvalJobs that the gates name, while a planner may have to be told of them."""
        if seen.status.plan is not None or seen.deleting:
            return {}
        namespace = seen.job.metadata.namespace
        found = {name: await self._api.get(EVALJOBS, namespace, name) for name in baselines.names(seen.job.spec)}
        return {name: baselines.baseline_job(raw) for name, raw in found.items() if raw is not None}

    async def _workload(self, job: EvalJob, work: JobView | None) -> WorkloadView | None:
        if job.spec.queue_name is None or work is None or work.finished:
            return None
        labels = f"kueue.x-k8s.io/job-uid={work.uid}"
        try:
            listing = await self._api.list(WORKLOADS, job.metadata.namespace, labels=labels)
        except ApiError as error:
            if error.status in (403, 404):
                return None
            raise
        return workload_view(listing.items[0]) if listing.items else None


def _is_over(seen: Observed, step: Step) -> bool:
    """Whether a step is known to have ended well. Nothing can change that, so that the next one need not wait for a reading."""
    job = seen.jobs.get(step)
    if job is None or job.deleting:
        return False
    if step is Step.WORK:
        return job.complete
    report = _LAST_WORDS[step]
    told = any(pod.exit_code == 0 and isinstance(read_report(pod.message), report) for pod in seen.of(step))
    # A plan is final once it is written, before its Job has counted the pod.
    return told and (job.complete or step is Step.PLAN)


def _untold(status: EvalJobStatus, step: Step) -> bool:
    """Whether the status has no word of a step yet."""
    return find(status.conditions, _CONDITIONS[step]) is None
