"""EvalJobs that a job's gates name as baselines: whether they are complete, and the addresses of their runs.

A pod has no token, so the planner is told an address in place of a name. It checks the run itself: the operator sees no
store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay_api.evaljob import EvalJob, EvalJobSpec
from assay_operator.accept import Refusal


@dataclass(frozen=True, slots=True)
class BaselineJob:
    """What matters of another EvalJob."""

    phase: str
    complete: bool
    failed: bool
    run: str
    """Address of its run; "" before it is planned."""


Baselines = Mapping[str, BaselineJob]
"""Name → the EvalJob of the same namespace, of those that there are."""


def baseline_job(raw: Mapping[str, Any]) -> BaselineJob:
    """The view of an EvalJob as the API server sends it."""
    status = raw.get("status") or {}
    holds = {one.get("type") for one in status.get("conditions") or [] if one.get("status") == "True"}
    return BaselineJob(
        phase=status.get("phase") or "Pending",
        complete="Complete" in holds,
        failed="Failed" in holds,
        run=(status.get("plan") or {}).get("runUri") or "",
    )


def names(spec: EvalJobSpec) -> list[str]:
    """The EvalJobs that the gates name, each once."""
    named = (gate.baseline.eval_job for gate in spec.gates if gate.baseline is not None)
    return list(dict.fromkeys(name for name in named if name is not None))


def refuse_baselines(job: EvalJob, baselines: Baselines) -> Refusal | None:
    """The first baseline that cannot be compared with yet, or None."""
    for number, gate in enumerate(job.spec.gates):
        name = gate.baseline.eval_job if gate.baseline is not None else None
        if name is None:
            continue
        at, found = f"spec.gates[{number}].baseline.evalJob", baselines.get(name)
        if found is None:
            return Refusal(
                "BaselineNotFound",
                f"{at}: there is no EvalJob {name} in namespace {job.metadata.namespace}; create it, or name another.",
            )
        if found.failed:
            return Refusal(
                "BaselineFailed",
                f"{at}: EvalJob {name} has failed and has no results; name another, or make it anew.",
            )
        if not found.complete or not found.run:
            return Refusal(
                "BaselineNotComplete",
                f"{at}: EvalJob {name} is not complete, it is {found.phase}; this job is planned when it is.",
            )
    return None


def resolved(job: EvalJob, baselines: Baselines) -> EvalJob:
    """The job with the addresses of runs in place of names of EvalJobs."""
    gates = []
    for gate in job.spec.gates:
        found = baselines.get(gate.baseline.eval_job or "") if gate.baseline is not None else None
        if gate.baseline is not None and found is not None:
            baseline = gate.baseline.model_copy(update={"eval_job": None, "run": found.run})
            gate = gate.model_copy(update={"baseline": baseline})
        gates.append(gate)
    return job.model_copy(update={"spec": job.spec.model_copy(update={"gates": gates})})
