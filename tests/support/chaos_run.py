"""A night on a cluster: EvalJobs come and go while a schedule of faults is worked off; then accounts are settled.

Every job has to end with the bytes of the undisturbed run, or in a failure whose reason names a fault of its time. It
is deleted as soon as it has ended, in the middle of the faults, and takes its children and its records along.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay_operator.names import Step
from support.chaos_faults import Injector
from support.chaos_schedule import Kind, Planned
from support.e2e import Lab, wait_for
from support.e2e_store import Store

_PATIENCE = 600.0
"""Seconds for the last jobs to end after the last fault."""
_NAMED = {
    Kind.WORKER_OUT_OF_MEMORY: {"OutOfMemory"},
    Kind.WORKER_KILLED: {"ContainerFailed"},
    Kind.PLANNER_KILLED: {"ContainerFailed"},
    Kind.REDUCER_KILLED: {"ContainerFailed"},
    Kind.DISK_FULL: {"ContainerFailed", "Failed"},
    Kind.NODE_DIES: {"ContainerFailed", "ReportLost"},
    Kind.STORE_AWAY: {"StoreUnavailable"},
    Kind.STORE_SLOW: {"StoreUnavailable"},
    Kind.STORE_BUSY: {"StoreUnavailable"},
}
"""Reasons of a failure that name the fault."""


@dataclass
class Life:
    """What is known of one job."""

    name: str
    like: str
    """Which of the undisturbed runs it has to equal."""
    began: float
    ended: float | None = None
    reason: str = ""
    """Of its failure; empty when it is complete."""
    message: str = ""
    results: bytes | None = None
    """Of a job that is complete."""
    deleted: bool = False
    """The deletion was accepted."""
    children: dict[str, set[str]] = field(default_factory=dict)
    """Uids of every Job that was ever seen under a name."""


@dataclass
class Night:
    """The jobs of one namespace under a schedule."""

    lab: Lab
    store: Store
    injector: Injector
    manifests: dict[str, dict[str, Any]]
    """Manifests to draw from in turn, by the name of the undisturbed run."""
    namespace: str
    root: str
    """Address below which their runs lie."""
    at_a_time: int
    """How many jobs there are while faults are injected."""
    lives: list[Life] = field(default_factory=list)

    def live_through(self, faults: Sequence[Planned], jobs: int) -> None:
        """Inject all faults, while there are always jobs, and at least so many; then wait until all have ended."""
        # A planner is alive for seconds: one that is to be killed needs a job that begins.
        self.injector.meanwhile = lambda step: self._look(room=self.at_a_time + 2 * (step == "plan"))
        for planned in faults:
            self._look(room=self.at_a_time)
            time.sleep(planned.pause)
            self.injector.inject(planned)
        while len(self.lives) < jobs:
            self._look(room=self.at_a_time)
            time.sleep(1)
        self.injector.settle()
        wait_for(self._all_are_gone, _PATIENCE, "the end of every job")

    def _all_are_gone(self) -> bool:
        self._look(room=0)
        return all(life.deleted for life in self.lives)

    def _look(self, *, room: int) -> None:
        """See how jobs stand, delete those that have ended, and start as many as there is room for."""
        try:
            found = {
                item["metadata"]["name"]: item
                for item in self.lab.cluster.get("evaljobs.assay.dev", ns=self.namespace)["items"]
            }
            children = self.lab.cluster.get("jobs", ns=self.namespace)["items"]
        except AssertionError:
            return
        for life in self.lives:
            status = found.get(life.name, {}).get("status", {})
            if life.ended is None and status.get("completionTime"):
                life.ended = time.monotonic()
                failed = [c for c in status["conditions"] if c["type"] == "Failed" and c["status"] == "True"]
                if failed:
                    life.reason, life.message = failed[0]["reason"], failed[0]["message"]
                else:
                    life.results = self.store.read(status["resultsUri"])
        owners = {life.name: life for life in self.lives}
        for child in children:
            owner = owners.get(child["metadata"]["labels"].get("assay.dev/job", ""))
            if owner is not None:
                owner.children.setdefault(child["metadata"]["name"], set()).add(child["metadata"]["uid"])
        for life in self.lives:
            if life.ended and not life.deleted:
                arguments = ("delete", "evaljob", life.name, "-n", self.namespace, "--wait=false")
                life.deleted = self.lab.cluster.kubectl(*arguments, check=False).returncode == 0
        while sum(life.ended is None for life in self.lives) < room:
            if not self._start():
                return

    def _start(self) -> bool:
        number = len(self.lives)
        like = list(self.manifests)[number % len(self.manifests)]
        manifest = self.manifests[like]
        named = manifest | {"metadata": {"name": f"{like}-{number}"}}
        done = self.lab.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", input=json.dumps(named), check=False)
        if done.returncode == 0:
            self.lives.append(Life(f"{like}-{number}", like, time.monotonic()))
        return done.returncode == 0

    def complaints(self, expected: Callable[[Life], bytes]) -> list[str]:
        """What is not as it has to be, as sentences; `expected` gives the bytes of the undisturbed run."""
        found = list(self.injector.failed)
        for life in self.lives:
            if life.reason and life.reason not in self._explained(life):
                found.append(f"{life.name} failed with {life.reason}, which no fault explains: {life.message}")
            if life.results is not None and life.results != expected(life):
                found.append(f"{life.name}: its results.json is not that of the undisturbed run")
            doubled = [name for name, uids in life.children.items() if len(uids) > 1]
            if doubled or len(life.children) > len(Step):
                found.append(f"{life.name} has made children twice: {life.children}")
        for what, left in (
            ("EvalJobs", lambda: self.lab.cluster.names("evaljobs.assay.dev", ns=self.namespace)),
            ("Jobs and pods", self._children),
            ("records", lambda: self.store.keys(self.root)),
        ):
            try:
                wait_for(lambda left=left: not left(), 240, what)  # type: ignore[misc]
            except AssertionError as error:
                found.append(f"{what} are left: {error}"[:600])
        return found

    def _children(self) -> list[str]:
        # The Job that removed a run stays for a while after its EvalJob.
        return [name for name in self.lab.children(self.namespace) if "-delete" not in name]

    def _explained(self, life: Life) -> set[str]:
        during = [fault.kind for fault in self.injector.done if life.began <= fault.at <= (life.ended or fault.at)]
        return set().union(*(_NAMED.get(kind, set()) for kind in during))

    def figures(self, seed: int) -> dict[str, Any]:
        """What happened, in numbers."""
        times = sorted((life.ended or 0.0) - life.began for life in self.lives)
        return {
            "seed": seed,
            "faults": len(self.injector.done),
            "faults_without_a_target": len(self.injector.missed),
            "by_kind": dict(Counter(fault.kind.name.lower() for fault in self.injector.done)),
            "jobs": len(self.lives),
            "complete": sum(not life.reason for life in self.lives),
            "failed": dict(Counter(life.reason for life in self.lives if life.reason)),
            "job_seconds_median": round(times[len(times) // 2], 1),
            "job_seconds_longest": round(times[-1], 1),
        }
