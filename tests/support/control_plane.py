"""A model of the parts of Kubernetes that `decide` meets: Jobs that run, fail and go, pods whose last words may be lost,
statuses that are written over a version, and an operator that may die between any two calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from assay_api.evaljob import EvalJob, Storage
from assay_api.reports import Ended, Headline, Planned, Reduced
from assay_api.runtime import ClusterEvalRuntime
from assay_api.status import EvalJobStatus
from assay_operator.accept import effective_storage
from assay_operator.actions import (
    Action,
    CreateJob,
    DeleteEvalJob,
    DeleteJob,
    SetFinalizer,
    SetJob,
    SetWorkload,
)
from assay_operator.baselines import BaselineJob
from assay_operator.decide import decide
from assay_operator.draft import Decision
from assay_operator.names import FINALIZER, Step, child_name, input_digest, spec_digest, template_digest
from assay_operator.observed import Observed
from assay_operator.views import JobView, PodView, WorkloadView

UID = "11111111-2222-3333-4444-555555555555"
PLAN = "a" * 64
RESULTS = "b" * 64
START = datetime(2026, 1, 1, tzinfo=UTC)


def evaljob(**spec: Any) -> EvalJob:
    """An EvalJob as the API server holds it."""
    body = {
        "model": {"backend": "transformers", "name": "m"},
        "tasks": [{"name": "easy_vqa"}],
        "replicas": 3,
        "storage": {"uri": "s3://evals/runs"},
    }
    return EvalJob.model_validate(
        {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "EvalJob",
            "metadata": {"name": "job", "namespace": "research", "uid": UID, "generation": 1},
            "spec": body | spec,
        }
    )


def runtime(**spec: Any) -> ClusterEvalRuntime:
    """A runtime that offers everything."""
    return ClusterEvalRuntime.model_validate(
        {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ClusterEvalRuntime",
            "metadata": {"name": "default"},
            "spec": {"images": {"default": "assay-runner:1"}} | spec,
        }
    )


def planned(**changes: Any) -> str:
    """The last word of a planner."""
    told = Planned(
        plan=PLAN, run=f"s3://evals/runs/research/job/{UID}", samples=100, chunks=5, storage_mode="conditional"
    )
    return told.model_copy(update=changes).encode().decode()


def reduced(**changes: Any) -> str:
    """The last word of a reducer."""
    row = Headline(task="easy_vqa", metric="exact_match", value="0.9994", stderr="0.0005", n=100)
    told = Reduced(plan=PLAN, results=RESULTS, samples=100, errors=2, headlines=(row,))
    return told.model_copy(update=changes).encode().decode()


def ended(kind: str, message: str, code: int = 1) -> str:
    """The last word of a command that failed."""
    return Ended(code=code, kind=kind, message=message).encode().decode()


@dataclass
class World:
    """One EvalJob in its cluster."""

    job: EvalJob = field(default_factory=evaljob)
    runtime: ClusterEvalRuntime | None = field(default_factory=runtime)
    status: EvalJobStatus = field(default_factory=EvalJobStatus)
    version: int = 1
    exists: bool = True
    deleting: bool = False
    finalizer: bool = False
    jobs: dict[Step, JobView] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    workload: WorkloadView | None = None
    baselines: dict[str, BaselineJob] = field(default_factory=dict)
    now: datetime = START
    answering: float = float("inf")
    made: list[Step] = field(default_factory=list)
    """Jobs that were really created, in order."""
    _serial: int = 0

    # --- what the operator does -----------------------------------------------------------

    def observe(self) -> tuple[Observed, int]:
        """What an operator sees now, and the version it saw."""
        seen = Observed(
            job=self.job.model_copy(update={"status": self.status}),
            status=self.status,
            uid=UID,
            generation=1,
            deleting=self.deleting,
            finalizers=(FINALIZER,) if self.finalizer else (),
            version=str(self.version),
            runtime=self.runtime,
            jobs=dict(self.jobs),
            pods=tuple(self.pods.values()),
            workload=self.workload,
            answering=self.answering,
            baselines=dict(self.baselines),
        )
        return seen, self.version

    def reconcile(self, *, survives: int = 1000) -> Decision | None:
        """One reconciliation of an operator that dies after `survives` calls."""
        if not self.exists:
            return None
        seen, version = self.observe()
        return self.act(seen, version, survives=survives)

    def act(self, seen: Observed, version: int, *, survives: int = 1000) -> Decision:
        """Decide from what was seen at `version`, which may be long ago, and carry it out."""
        decision = decide(seen, self.now)
        for number, action in enumerate(decision.actions):
            if number >= survives:
                return decision
            self._carry_out(action)
        current = self.exists and version == self.version and not seen.deleting
        if current and len(decision.actions) < survives and decision.status != self.status:
            self.status = decision.status
            self.version += 1
        return decision

    def settle(self, most: int = 50) -> None:
        """Reconcile and let the cluster work until nothing changes."""
        for _ in range(most):
            before = (self.status, dict(self.jobs), dict(self.pods), self.exists, self.finalizer)
            self.reconcile()
            self.work()
            if before == (self.status, dict(self.jobs), dict(self.pods), self.exists, self.finalizer):
                return
        raise AssertionError("the job never comes to rest")

    def _carry_out(self, action: Action) -> None:
        match action:
            case CreateJob(step):
                self._create(step)
            case DeleteJob(_, uid):
                for step, job in list(self.jobs.items()):
                    if job.uid == uid:
                        self.jobs[step] = replace(job, deleting=True)
            case SetJob(_, uid, replicas, suspend):
                for step, job in self.jobs.items():
                    if job.uid == uid and not job.deleting:
                        job = job if replicas is None else replace(job, parallelism=replicas)
                        self.jobs[step] = job if suspend is None else replace(job, suspended=suspend)
            case SetWorkload(_, active):
                assert self.workload is not None
                self.workload = replace(self.workload, active=active)
            case SetFinalizer(present):
                # The API server adds no finalizer to an object that is being deleted.
                self.finalizer = present and not self.deleting
            case DeleteEvalJob():
                self.delete()

    def _create(self, step: Step) -> None:
        if step in self.jobs:
            return
        assert not self.deleting or step is Step.DELETE, "a child of a job that is being deleted"
        self._serial += 1
        self.made.append(step)
        self.jobs[step] = JobView(
            name=child_name("job", UID, step),
            uid=f"job-{self._serial}",
            created=self.now,
            parallelism=self.job.spec.replicas if step is Step.WORK else 1,
            spec_digest=spec_digest(self.job.spec) if step is Step.PLAN else None,
            input_digest=input_digest(self.job.spec, self._storage()) if step is Step.PLAN else None,
            template_digest=template_digest(self.job) if step is Step.WORK else None,
        )

    # --- what the cluster does ------------------------------------------------------------

    def work(self) -> None:
        """Jobs start their pods, stop those of suspended ones, and vanish when they were deleted."""
        for step, job in list(self.jobs.items()):
            if job.deleting:
                self._drop_pods(step)
                del self.jobs[step]
                continue
            mine = [pod for pod in self.pods.values() if pod.step == step and pod.phase in ("Pending", "Running")]
            if job.suspended or job.finished:
                for pod in mine:
                    del self.pods[pod.name]
                self.jobs[step] = replace(job, active=0)
                continue
            if step is Step.WORK:
                for pod in [pod for pod in mine if int(pod.index or 0) >= job.parallelism]:
                    mine.remove(pod)
                    del self.pods[pod.name]
            for _ in range(job.parallelism - len(mine)):
                self.add_pod(step)
            self.jobs[step] = replace(job, active=job.parallelism)
        if self.deleting and not self.finalizer and self.exists:
            self.exists = False
        if not self.exists:
            self.jobs = {step: job for step, job in self.jobs.items() if step is Step.DELETE}
            self.pods = {name: pod for name, pod in self.pods.items() if pod.step == Step.DELETE}

    def add_pod(self, step: Step, **state: Any) -> PodView:
        """A new pod of a step, running unless `state` says otherwise."""
        self._serial += 1
        name = f"{step}-{self._serial}"
        taken = {pod.index for pod in self.pods.values() if pod.phase in ("Pending", "Running")}
        free = next(index for index in map(str, count()) if index not in taken)
        owner = self.jobs[step].uid if step in self.jobs else ""
        defaults = {
            "phase": "Running",
            "running": True,
            "created": self.now,
            "index": free if step is Step.WORK else None,
        }
        defaults |= {"owner": owner, "namespace": "research"}
        pod = PodView(name=name, uid=name, job_uid=UID, step=step, **(defaults | state))
        self.pods[name] = pod
        return pod

    def end(self, step: Step, *, code: int = 0, message: str = "", reason: str | None = None) -> None:
        """A pod of the step ends; one with exit code 0 completes the Job, any other fails it for good."""
        job = self.jobs.get(step)
        if job is None or job.finished or job.deleting or job.suspended:
            return
        state = {"phase": "Failed" if code else "Succeeded", "running": False, "exit_code": code}
        self.add_pod(step, **state, message=message, ended_reason=reason)
        if code:
            self.jobs[step] = replace(job, failure="BackoffLimitExceeded", failure_message="Job has reached the limit")
        else:
            self.jobs[step] = replace(job, complete=True, succeeded=1)

    def finish(self, step: Step) -> None:
        """The step ends well."""
        self.end(step, message={Step.PLAN: planned(), Step.REDUCE: reduced()}.get(step, ""))

    def lose_pods(self) -> None:
        """Ended pods are collected, and with them their last words."""
        self.pods = {name: pod for name, pod in self.pods.items() if pod.phase not in ("Succeeded", "Failed")}

    def delete(self) -> None:
        """Somebody deletes the EvalJob."""
        self.deleting = True
        self.version += 1
        if not self.finalizer:
            self.exists = False

    def change(self, **spec: Any) -> None:
        """Somebody edits the spec."""
        self.job = self.job.model_copy(update={"spec": self.job.spec.model_copy(update=spec)})
        self.version += 1

    def pass_time(self, seconds: float) -> None:
        """The clock goes on."""
        self.now += timedelta(seconds=seconds)

    def _storage(self) -> Storage | None:
        return effective_storage(self.job, self.runtime.spec) if self.runtime else self.job.spec.storage

    def _drop_pods(self, step: Step) -> None:
        self.pods = {name: pod for name, pod in self.pods.items() if pod.step != step}


def running() -> World:
    """A job whose workers run."""
    world = World()
    world.reconcile()
    world.finish(Step.PLAN)
    world.reconcile()
    world.work()
    world.reconcile()
    return world
