"""Reduces a run: verify everything, compute, write `samples.jsonl.zst`, `run.json`, `report.html`, and last
`results.json`, once. Where the plan has gates they are judged after that, and the report, which shows the verdicts, and
`gates.json` are last.

Chunks go by in plan order. Of each, its rows go to the samples file, its tally into arrays, and the few samples that the
report shows to their collector; nothing else is kept.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from assay_api import layout
from assay_api.errors import Corrupt, TooManyErrors
from assay_api.plan import Plan
from assay_api.records import StorageProbe
from assay_api.results import Coverage, Results, TaskResult
from assay_api.verdicts import Gates
from assay_runner.reduce.groups import group_results
from assay_runner.reduce.prompt_media import PromptMedia
from assay_runner.reduce.report import RunTally
from assay_runner.reduce.scanners import Scanners
from assay_runner.reduce.tally import TaskTally
from assay_runner.reduce.task_metrics import task_metrics
from assay_runner.reduce.verdicts import keep
from assay_runner.reduce.verify import Chosen, Markers, marked_chunks, verified_chunks
from assay_runner.report.collector import SAMPLES, Collector
from assay_runner.report.facts import Facts
from assay_runner.report.media import Find
from assay_runner.report.write import write_report
from assay_runner.store.base import Store
from assay_runner.tasks.bundle import fetch
from assay_runner.tasks.task import Task
from assay_runner.work.setup import read_placement, read_plan

Judge = Callable[[Store, Store, Plan, Results], Gates]
"""(whole store, the run's part, plan, results) → verdicts on the plan's gates."""


def reduce_run(
    root: Store,
    store: Store,
    probed: StorageProbe,
    judge: Judge,
    *,
    scanners: Scanners | None = None,
    wall_seconds: float | None = None,
    max_error_rate: float | None = None,
) -> Results:
    """Reduce the run whose part of the store is `store`.

    A report that cannot be written ends nothing: `run.json` says why. Nor does a gate that fails.

    Args:
        judge: what judges the run by its plan's gates; asked when results are written, and only where there are gates.
        scanners: processes that share the reading; without them this one does it all.
        max_error_rate: the share of failed samples to tolerate, when it is not what the run was placed with.

    Raises:
        Incomplete, Corrupt: the store does not hold exactly what was planned; nothing was written.
        TooManyErrors: more samples failed than tolerated; samples, `run.json` and the report were written, results were
            not.
        SpecError: the run was planned by another version, or its task files are not the planned ones.
        StoreUnavailable: a store does not answer; that of a gate's baseline too, when results were written already.
    """
    plan = read_plan(store)
    scratch = Path(tempfile.mkdtemp(prefix="assay-reduce-"))
    try:
        tasks = {
            task.name: Task.load(
                task, fetch(root, task.code, scratch) if task.code else None, plan.seed, plan.model.name
            )
            for task in plan.tasks
        }
        samples = scratch / layout.SAMPLES
        tallies = {task.name: TaskTally(task) for task in plan.tasks}
        run, shown = RunTally(plan, probed), Collector(plan)
        with (
            ThreadPoolExecutor(1, thread_name_prefix="aside") as aside,
            samples.open("wb") as rows,
        ):
            # What computes the intervals takes long to import: beside the scanning, not after it.
            aside.submit(import_module, "scipy.special")
            chosen = Chosen(shown.likely, errors=SAMPLES)
            markers = Markers()
            marked = marked_chunks(store, plan, markers)
            for chunk in verified_chunks(store, plan, marked, scanners=scanners, chosen=chosen):
                run.add(chunk)
                tallies[chunk.chunk.task].add(chunk.chunk, chunk.tally)
                rows.write(chunk.rows)
                for line in chunk.tally.lines.values():
                    shown.add(chunk.chunk.task, line)
        with ThreadPoolExecutor(1, thread_name_prefix="samples") as aside:
            stored = aside.submit(store.put_file, layout.SAMPLES, samples)
            results = _results(plan, tasks, tallies)
            report = run.report(store, markers.attempts, wall_seconds)
            store.put(layout.RUN, report.encode())
            allowed = read_placement(store).max_error_rate if max_error_rate is None else max_error_rate
            refusal = _refusal(allowed, results, run)
            records = {chunk: marker.sha256 for chunk, marker in markers.items()}
            facts = Facts(plan, results, report, refusal, records, "/".join(store.uri.split("/")[-3:]))
            show = partial(_show, store, collector=shown, find=PromptMedia(root, plan, tasks))
            failure = None if plan.gates and not refusal else show(facts)
            stored.result()
        if refusal:
            shows = f"no report either ({failure})" if failure else f"{store.location(layout.REPORT)} shows them"
            raise TooManyErrors(f"{refusal} {shows[0].upper()}{shows[1:]}.")
        _write_once(store, results.encode())
        if plan.gates:
            gates = judge(root, store, plan, results)
            show(replace(facts, gates=gates))
            keep(store, gates)
        return results
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _show(store: Store, facts: Facts, collector: Collector, find: Find) -> str | None:
    """Write the report; why there is none, which run.json then says too."""
    failure = write_report(store, facts, collector, find)
    if failure:
        store.put(layout.RUN, facts.run.model_copy(update={"report_failure": failure}).encode())
    return failure


def _results(plan: Plan, tasks: dict[str, Task], tallies: dict[str, TaskTally]) -> Results:
    done = []
    for task in plan.tasks:
        tally = tallies[task.name]
        done.append(
            TaskResult(
                task=task.name,
                alias=tasks[task.name].alias,
                version=tasks[task.name].version,
                metrics=task_metrics(tasks[task.name], tally, plan.seed),
                documents=task.documents,
                samples=task.samples,
                errors=dict(sorted(tally.errors.items())),
                data=task.data.fingerprint,
            )
        )
    errors = sum(sum(task.errors.values()) for task in done)
    return Results(
        plan=plan.digest,
        job=plan.job,
        model={"backend": plan.model.backend, "name": plan.model.name, "revision": plan.model.revision},
        determinism=plan.determinism,
        tasks=tuple(done),
        groups=tuple(group_results(plan, done)),
        coverage=Coverage(samples=plan.samples, scored=plan.samples - errors, errors=errors, chunks=plan.chunks),
    )


def _refusal(allowed: float, results: Results, run: RunTally) -> str | None:
    """Why there are no results, when more samples failed than are tolerated."""
    errors, samples = results.coverage.errors, results.coverage.samples
    if errors <= allowed * samples:
        return None
    kinds = ", ".join(f"{kind} {count}" for task in results.tasks for kind, count in task.errors.items())
    return (
        f"{errors} of {samples} samples failed ({kinds}), more than spec.errorPolicy.maxErrorRate {allowed:g} tolerates; "
        "no results were written, all records are kept. Raise the rate to accept them, nothing is done anew; or delete "
        f"the .commit markers of their chunks ({run.failed_chunks()}) and start the job again to have them tried anew."
    )


def _write_once(store: Store, data: bytes) -> None:
    if not store.put_if_absent(layout.RESULTS, data) and store.get(layout.RESULTS) != data:
        raise Corrupt(
            f"{store.location(layout.RESULTS)} exists and differs from what plan and records give; one of them was changed."
        )
