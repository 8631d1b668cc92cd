"""One decision while it is being made: the status so far, the actions so far, and when to look again.

The stages of `decide` write into a draft and `finish` turns it into a `Decision`; nothing outside sees a half-made one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from assay_api.status import EvalJobStatus, PlanStatus, ProgressStatus
from assay_operator.actions import Action, SetJob, SetWorkload
from assay_operator.conditions import Conditions
from assay_operator.diagnose import Trouble
from assay_operator.names import Step, selector
from assay_operator.observed import Observed
from assay_operator.summary import summarize, workers_status


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, what to tell, and when to look again even if nothing happens."""

    status: EvalJobStatus
    actions: tuple[Action, ...] = ()
    requeue: float | None = None
    """Seconds."""


class Draft:
    """A decision in the making."""

    def __init__(self, seen: Observed, now: datetime) -> None:
        self.seen, self.spec, self.now = seen, seen.job.spec, now
        self.conditions = Conditions(seen.status.conditions, seen.generation, now)
        self.plan: PlanStatus | None = seen.status.plan
        self.progress: ProgressStatus | None = seen.status.progress
        self.start_time = seen.status.start_time
        self.results: dict[str, Any] = {}
        self.refused = False
        """Whether no pods may be made for the job."""
        self.note = ""
        self._phase: str = "Pending"
        self._completed: datetime | None = None
        self._actions: list[Action] = []
        self._requeue: float | None = None

    def act(self, *actions: Action) -> None:
        """Ask for something to be done."""
        self._actions += actions

    def look_again(self, seconds: float) -> None:
        """Decide again after so long, or earlier."""
        self._requeue = seconds if self._requeue is None else min(self._requeue, seconds)

    def poll(self) -> None:
        """Decide again when it is time to look at what sends no event."""
        self.look_again(self.seen.poll_seconds)

    def phase(self, phase: str) -> None:
        """Sum the job up in a word."""
        self._phase = phase

    def fail(self, trouble: Trouble) -> None:
        """End the job; what still runs for it is stopped, keeping its logs."""
        self.conditions.set("Failed", "True", trouble.reason, trouble.message)
        self.conditions.set("Complete", "False", trouble.reason)
        if self.conditions.is_true("Running"):
            self.conditions.set("Running", "False", "JobFailed")
        self.conditions.drop("Suspended")
        self._completed, self.note = self.now, trouble.message
        self._phase = "Failed"
        self._actions = [*stop_everything(self.seen)]
        if self.spec.ttl_seconds_after_finished is not None:
            self.look_again(self.spec.ttl_seconds_after_finished)

    def complete(self, note: str) -> None:
        """End the job well; `note` is what a person should know all the same."""
        self.conditions.set("Complete", "True", "ResultsWritten")
        self._completed, self._phase, self.note = self.now, "Complete", note
        if self.spec.ttl_seconds_after_finished is not None:
            self.look_again(self.spec.ttl_seconds_after_finished)

    def finish(self) -> Decision:
        """The decision."""
        seen, before = self.seen, self.seen.status
        workers = workers_status(seen, self.now)
        status = before.model_copy(
            update={
                "observed_generation": seen.generation,
                "phase": self._phase,
                "conditions": self.conditions.list(),
                "start_time": self.start_time,
                "completion_time": self._completed,
                "selector": selector(seen.uid),
                "plan": self.plan,
                "progress": self.progress,
                "workers": workers,
                **self.results,
            }
        )
        summary = summarize(self.spec, status, self.note)
        return Decision(status.model_copy(update={"summary": summary}), tuple(self._actions), self._requeue)


def stop_everything(seen: Observed) -> Iterable[Action]:
    """Suspend whatever Job of the ended EvalJob has not ended: its pods go, its records and the logs of its past stay."""
    for step in (Step.PLAN, Step.WORK, Step.REDUCE):
        job = seen.jobs.get(step)
        if job is None or job.finished or job.suspended or job.deleting:
            continue
        if step is Step.WORK and seen.workload is not None:
            if seen.workload.active:
                yield SetWorkload(seen.workload.name, active=False)
            continue
        yield SetJob(job.name, job.uid, job.parallelism if step is Step.WORK else None, suspend=True)
