"""A model of what `decide` of a schedule meets: EvalJobs that are made once per name, a watcher that tells of what has landed
since it was told last, words that are lost, and an operator that may die between any two calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from assay_api.evalschedule import EvalSchedule
from assay_api.reports import Landed, Watched
from assay_api.runtime import ClusterEvalRuntime
from assay_api.schedule_status import EvalScheduleStatus, ScheduleCondition
from assay_operator.schedules.decide import decide
from assay_operator.schedules.draft import Action, Decision, DeleteJob, DeleteWatcher, StartJob, StartWatcher
from assay_operator.schedules.names import job_name, watcher_name
from assay_operator.schedules.render import watcher_digest
from assay_operator.schedules.seen import Child, Seen
from assay_operator.views import JobView, PodView
from support.control_plane import runtime

UID = "aaaaaaaa-2222-3333-4444-555555555555"
START = datetime(2026, 1, 1, tzinfo=UTC)
JOB: dict[str, Any] = {
    "model": {"backend": "transformers", "name": "m"},
    "tasks": [{"name": "easy_vqa"}],
    "storage": {"uri": "s3://evals/runs", "credentialsSecretRef": {"name": "s3"}},
}
OF_CHECKPOINT = {**JOB, "model": {"backend": "transformers", "name": "$(CHECKPOINT_URI)"}}


def schedule(**spec: Any) -> EvalSchedule:
    """An EvalSchedule as the API server holds it; by cron at every full hour unless `spec` says otherwise."""
    body: dict[str, Any] = {"template": {"spec": JOB}} | spec
    if "watch" not in body:
        body = {"cron": {"schedule": "0 * * * *"}} | body
    return EvalSchedule.model_validate(
        {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "EvalSchedule",
            "metadata": {"name": "nightly", "namespace": "research", "uid": UID, "generation": 1},
            "spec": body,
        }
    )


def watching(**spec: Any) -> EvalSchedule:
    """One that watches."""
    return schedule(**{"watch": {"uri": "s3://train/run-7"}, "template": {"spec": OF_CHECKPOINT}} | spec)


@dataclass
class World:
    """One EvalSchedule in its cluster."""

    schedule: EvalSchedule = field(default_factory=schedule)
    runtime: ClusterEvalRuntime | None = field(default_factory=runtime)
    status: EvalScheduleStatus = field(default_factory=EvalScheduleStatus)
    now: datetime = START
    children: dict[str, Child] = field(default_factory=dict)
    watcher: JobView | None = None
    pods: list[PodView] = field(default_factory=list)
    after: int = 0
    """What the watcher was told to be known."""
    landed: list[str] = field(default_factory=list)
    """Checkpoints in the order of their numbers."""
    made: list[str] = field(default_factory=list)
    """EvalJobs that were really made, in order."""
    told: list[str] = field(default_factory=list)
    """Reasons of Events."""
    serial: int = 0

    # --- what the operator does -----------------------------------------------------------

    def seen(self) -> Seen:
        """What an operator sees now."""
        return Seen(
            schedule=self.schedule,
            status=self.status,
            uid=UID,
            generation=1,
            created=START,
            runtime=self.runtime,
            children=tuple(self.children.values()),
            watcher=self.watcher,
            pods=tuple(self.pods),
        )

    def reconcile(self, *, survives: int = 1000) -> Decision:
        """One reconciliation of an operator that dies after `survives` calls."""
        decision = decide(self.seen(), self.now)
        ordered = sorted(decision.actions, key=lambda action: isinstance(action, DeleteJob))
        for number, action in enumerate(ordered):
            if number >= survives:
                return decision
            self._carry_out(action)
        if len(ordered) < survives and decision.status != self.status:
            self.status = decision.status
            self.told += [event.reason for event in decision.events]
        return decision

    def settle(self) -> None:
        """Reconcile and let the cluster work until nothing changes."""
        for _ in range(100):
            before = (self.status, dict(self.children), self.watcher)
            self.reconcile()
            self.watch()
            if before == (self.status, dict(self.children), self.watcher):
                return
        raise AssertionError("the schedule never comes to rest")

    def _carry_out(self, action: Action) -> None:
        match action:
            case StartJob(number):
                name = job_name("nightly", number)
                if name not in self.children:
                    self.made.append(name)
                    self.serial += 1
                    self.children[name] = Child(name, f"uid-{self.serial}", number, created=self.now)
            case DeleteJob(name, uid):
                if self.children.get(name) and self.children[name].uid == uid:
                    del self.children[name]
            case StartWatcher(after):
                if self.watcher is None:
                    assert self.runtime is not None
                    self.serial += 1
                    digest = watcher_digest(self.schedule, self.runtime)
                    name = watcher_name("nightly", UID)
                    self.watcher = JobView(name, f"uid-{self.serial}", self.now, input_digest=digest)
                    self.after, self.pods = after, []
            case DeleteWatcher(_, uid):
                if self.watcher and self.watcher.uid == uid:
                    self.watcher, self.pods = None, []

    # --- what the cluster does ------------------------------------------------------------

    def watch(self) -> None:
        """The watcher's pod runs, and ends when there is something to tell, 4 at a time."""
        if self.watcher is None or self.watcher.finished:
            return
        news = [Landed(number=n, name=name) for n, name in enumerate(self.landed, 1) if n > self.after]
        if news:
            self.end_watcher(Watched(found=tuple(news[:4])).encode().decode())
        elif not self.pods:
            self.pods = [self._pod(phase="Running", running=True)]

    def end_watcher(self, message: str = "", code: int = 0, failure: str | None = None) -> None:
        """The watcher's pod ends; one that fails is replaced, unless its Job has a `failure`."""
        assert self.watcher is not None
        phase = "Failed" if code else "Succeeded"
        self.pods = [self._pod(phase=phase, exit_code=code, message=message)]
        self.watcher = replace(self.watcher, complete=not code, failure=failure)

    def end(self, name: str, *, well: bool = True) -> None:
        """An EvalJob ends."""
        ended = {"succeeded": well, "failed": not well, "completed": self.now}
        self.children[name] = replace(self.children[name], **ended)

    def pass_time(self, **by: float) -> None:
        """The clock goes on."""
        self.now += timedelta(**by)

    def change(self, **spec: Any) -> None:
        """Somebody edits the spec."""
        changed = self.schedule.spec.model_copy(update=spec)
        self.schedule = self.schedule.model_copy(update={"spec": changed})

    def condition(self, kind: str) -> ScheduleCondition:
        """A condition of the status."""
        return next(item for item in self.status.conditions if item.type == kind)

    def active(self) -> list[str]:
        """EvalJobs that have not ended."""
        return [name for name, child in self.children.items() if not child.ended]

    def _pod(self, **state: Any) -> PodView:
        assert self.watcher is not None
        self.serial += 1
        made = {"name": f"pod-{self.serial}", "uid": f"pod-{self.serial}", "created": self.now}
        return PodView(job_uid="", step="watch", owner=self.watcher.uid, namespace="research", **made, **state)
