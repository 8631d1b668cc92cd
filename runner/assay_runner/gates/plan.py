"""Checks a job's gates while it is planned, before a GPU is asked for: the score exists, the criterion fits its metric, and
the baseline is finished, readable with the job's credentials, and of the same data and tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assay_api.errors import AssayError, SpecError
from assay_api.evaljob import EvalJob
from assay_api.gates import Gate
from assay_api.plan import BaselinePin, GatePlan, Plan
from assay_runner.compare.comparable import differences
from assay_runner.compare.finished import FinishedRun, open_finished
from assay_runner.compare.groups import common_groups
from assay_runner.gates.scores import Score, Specs, scores_of, tasks_of
from assay_runner.store.base import StoreUnavailable


def plan_gates(job: EvalJob, manifest: Path, plan: Plan, specs: Specs) -> tuple[tuple[GatePlan, ...], dict[str, str]]:
    """The job's gates, in its order, and for each with a baseline where that lies.

    Args:
        plan: the plan without gates.

    Raises:
        SpecError: a gate cannot be judged as it is.
        StoreUnavailable: the store of a baseline does not answer.
    """
    planner = _GatePlanner(manifest, plan, specs)
    gates = tuple(planner.gate(gate, f"spec.gates[{number}]") for number, gate in enumerate(job.spec.gates))
    return gates, planner.addresses


@dataclass(slots=True)
class _GatePlanner:
    manifest: Path
    plan: Plan
    specs: Specs
    addresses: dict[str, str] = field(default_factory=dict)
    """Gate → address of its baseline, of those planned so far."""
    _opened: dict[str, FinishedRun] = field(default_factory=dict)

    def gate(self, gate: Gate, at: str) -> GatePlan:
        score = self._score(gate, at)
        if gate.minimum is not None and not score.higher_is_better:
            raise self._wrong(f"{at}.minimum", f"of {gate.metric} lower is better", "give maximum instead")
        if gate.maximum is not None and score.higher_is_better:
            raise self._wrong(f"{at}.maximum", f"of {gate.metric} higher is better", "give minimum instead")
        return GatePlan(
            name=gate.name,
            task=gate.task,
            metric=gate.metric,
            filter=score.filter,
            higher_is_better=score.higher_is_better,
            minimum=gate.minimum,
            maximum=gate.maximum,
            smallest_difference=gate.smallest_difference,
            baseline=self._baseline(gate, f"{at}.baseline"),
        )

    def _score(self, gate: Gate, at: str) -> Score:
        if not tasks_of(self.plan, gate.task):
            groups = [group.name for group in self.plan.groups if group.metrics]
            has = ", ".join([*(task.name for task in self.plan.tasks), *groups])
            raise self._wrong(f"{at}.task", f"the job has no task or group {gate.task!r} with scores", f"it has {has}")
        scores = scores_of(self.plan, self.specs, gate.task)
        named = [score for score in scores if score.metric == gate.metric]
        if not named:
            has = ", ".join(dict.fromkeys(score.metric for score in scores))
            raise self._wrong(f"{at}.metric", f"{gate.task} has no metric {gate.metric!r}", f"it has {has}")
        if gate.filter is None and len(named) == 1:
            return named[0]
        filters = ", ".join(score.filter for score in named)
        if gate.filter is None:
            problem = f"{gate.task} scores {gate.metric} behind several filters"
            raise self._wrong(f"{at}.filter", problem, f"name one of {filters}")
        found = next((score for score in named if score.filter == gate.filter), None)
        if found is None:
            problem = f"{gate.task} has no {gate.metric} behind the filter {gate.filter!r}"
            raise self._wrong(f"{at}.filter", problem, f"it has {filters}")
        return found

    def _baseline(self, gate: Gate, at: str) -> BaselinePin | None:
        if gate.baseline is None:
            return None
        if gate.baseline.run is None:
            problem = "EvalJobs are known to a cluster only"
            raise self._wrong(f"{at}.evalJob", problem, "give the address of its run as baseline.run for a local run")
        address, at = self._address(gate.baseline.run), f"{at}.run"
        found = self._open(address, at)
        tasks = tasks_of(self.plan, gate.task)
        missing = [name for name in tasks if all(task.name != name for task in found.plan.tasks)]
        if missing:
            has = ", ".join(task.name for task in found.plan.tasks)
            raise self._wrong(
                at, f"the baseline has not run task {missing[0]}", f"name a run that has; this one has {has}"
            )
        if wrong := differences(found.plan, self.plan, tasks):
            problem = f"the baseline measures something else than this job (baseline against job): {'; '.join(wrong)}"
            raise self._wrong(at, problem, "name a run with the same limit, task files and data")
        if tasks != (gate.task,) and all(group.name != gate.task for group in common_groups(found.plan, self.plan)[0]):
            problem = f"group {gate.task} is not the same in the baseline"
            raise self._wrong(at, problem, "name a run with the same group, or judge its tasks")
        self.addresses[gate.name] = address
        summary = found.summary()
        return BaselinePin(plan=summary.plan, results=summary.results)

    def _address(self, written: str) -> str:
        """A relative folder is meant from the manifest's, then from where one is."""
        if written.startswith(("s3:", "file:")):
            return written.rstrip("/")
        for base in (self.manifest.parent, Path.cwd()):
            folder = base / Path(written).expanduser()
            if folder.is_dir():
                return str(folder.resolve())
        return written

    def _open(self, address: str, at: str) -> FinishedRun:
        if address not in self._opened:
            try:
                self._opened[address] = open_finished(address)
            except StoreUnavailable:
                raise
            except AssayError as error:
                problem = f"the baseline cannot be used: {str(error).rstrip('.')}"
                remedy = "name a finished run that this job's storage credentials can read"
                raise self._wrong(at, problem, remedy) from error
        return self._opened[address]

    def _wrong(self, at: str, problem: str, remedy: str) -> SpecError:
        return SpecError(str(self.manifest), at, problem, remedy)
