"""The room's two doors for commands. What compares runs takes a while to import, and most jobs have no gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay_api.evaljob import EvalJob
    from assay_api.plan import GatePlan, Plan
    from assay_api.results import Results
    from assay_api.verdicts import Gates
    from assay_runner.store.base import Store
    from assay_runner.tasks.task import MetricSpec


def plan_gates(
    job: EvalJob, manifest: Path, plan: Plan, specs: Mapping[str, Sequence[MetricSpec]]
) -> tuple[tuple[GatePlan, ...], dict[str, str]]:
    """As `gates.plan.plan_gates`."""
    if not job.spec.gates:
        return (), {}
    from assay_runner.gates import plan as room

    return room.plan_gates(job, manifest, plan, specs)


def judge_run(root: Store, store: Store, plan: Plan, results: Results) -> Gates:
    """As `gates.judge.judge_run`."""
    from assay_runner.gates import judge as room

    return room.judge_run(root, store, plan, results)
