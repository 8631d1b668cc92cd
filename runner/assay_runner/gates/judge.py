"""Judges a reduced run by the gates of its plan.

The run's own numbers are safe by then. What is wrong with a baseline (gone, changed, damaged, not to be read any more) ends
in `cannot tell` with the reason; only a store that does not answer is an error, since another try may find it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay_api import layout
from assay_api.base import sha256
from assay_api.errors import AssayError, Corrupt
from assay_api.plan import GatePlan, Plan
from assay_api.results import MetricResult, Results
from assay_api.verdicts import Gates, GateVerdict
from assay_runner.compare.comparable import how_run
from assay_runner.compare.compare import about_records, compare_tasks
from assay_runner.compare.finished import FinishedRun, open_finished
from assay_runner.compare.groups import group_rows
from assay_runner.compare.rows import Row
from assay_runner.gates.scores import metric_names, tasks_of
from assay_runner.gates.verdict import against_baseline, against_bound, untold
from assay_runner.reduce.verdicts import stored_gates
from assay_runner.reduce.verify import read_markers
from assay_runner.store.base import Store, StoreUnavailable
from assay_runner.work.setup import read_placement


def judge_run(root: Store, store: Store, plan: Plan, results: Results) -> Gates:
    """The verdicts on all gates of a run with results: those given before, else new ones.

    Raises:
        Corrupt: gates.json is about other results.
        StoreUnavailable: the store of the run or of a baseline does not answer.
    """
    digest = sha256(results.encode())
    given = stored_gates(store)
    if given is None:
        verdicts = _verdicts(FinishedRun(root, store, plan, results, read_markers(store, plan)))
        return Gates(plan=plan.digest, results=digest, verdicts=verdicts)
    if (given.plan, given.results) != (plan.digest, digest):
        raise Corrupt(f"{store.location(layout.GATES)} judges other results than this run's; one of them was changed.")
    return given


def _verdicts(run: FinishedRun) -> tuple[GateVerdict, ...]:
    addresses = read_placement(run.store).baselines
    found: dict[str, GateVerdict] = {}
    by_baseline: dict[str, list[GatePlan]] = {}
    for gate in run.plan.gates:
        if gate.baseline is None:
            found[gate.name] = against_bound(gate, _score(run, gate))
        elif gate.name in addresses:
            by_baseline.setdefault(addresses[gate.name], []).append(gate)
        else:
            found[gate.name] = untold(gate, "the run's placement.json does not say where the baseline lies")
    for address, gates in by_baseline.items():
        found |= _against(run, address, gates)
    return tuple(found[gate.name] for gate in run.plan.gates)


def _against(run: FinishedRun, address: str, gates: Sequence[GatePlan]) -> Mapping[str, GateVerdict]:
    """The verdicts on gates with one baseline, whose records are read once per task."""
    try:
        baseline = open_finished(address)
        pin = baseline.summary()
        for gate in gates:
            assert gate.baseline is not None
            if (gate.baseline.plan, gate.baseline.results) != (pin.plan, pin.results):
                raise Corrupt(f"the baseline {address} is not the run that was planned with: it was changed since")
        needed = dict.fromkeys(task for gate in gates for task in tasks_of(run.plan, gate.task))
        compared = compare_tasks(baseline, run, list(needed))
    except StoreUnavailable:
        raise
    except AssayError as error:
        return {gate.name: untold(gate, str(error)) for gate in gates}
    rows = {name: task.rows for name, task in compared.items()}
    verdicts = {}
    for gate in gates:
        tasks = tasks_of(run.plan, gate.task)
        row = _row(run.plan, gate, rows)
        if row is None:
            verdicts[gate.name] = untold(gate, "the runs have no such score")
            continue
        said = [*how_run(baseline.plan, run.plan, tasks), *about_records({task: compared[task] for task in tasks})]
        verdicts[gate.name] = against_baseline(gate, row, tuple(said))
    return verdicts


def _score(run: FinishedRun, gate: GatePlan) -> MetricResult | None:
    tasks = (metric for task in run.results.tasks if task.task == gate.task for metric in task.metrics)
    groups = (metric for group in run.results.groups if group.group == gate.task for metric in group.metrics)
    scores = {(metric.metric, metric.filter): metric for metric in [*groups, *tasks]}
    return next((scores[name, gate.filter] for name in _names(run.plan, gate) if (name, gate.filter) in scores), None)


def _row(plan: Plan, gate: GatePlan, rows: Mapping[str, Sequence[Row]]) -> Row | None:
    group = next((group for group in plan.groups if group.name == gate.task), None)
    listed = rows[gate.task] if gate.task in rows else list(group_rows(group, rows)) if group else []
    found = {(row.metric, row.filter): row for row in listed}
    return next((found[name, gate.filter] for name in _names(plan, gate) if (name, gate.filter) in found), None)


def _names(plan: Plan, gate: GatePlan) -> tuple[str, ...]:
    task = next((task for task in plan.tasks if task.name == gate.task), None)
    return metric_names(gate.metric, task.repeats) if task else (gate.metric,)
