"""`assay plan FILE`: plan a manifest, write the plan, and show what would run."""

from __future__ import annotations

import argparse
import sys

from assay_api.errors import EXIT_DONE
from assay_api.plan import GatePlan
from assay_api.reports import Planned
from assay_runner.cli.prepare import Prepared, prepare
from assay_runner.cli.report import write_report


def plan(options: argparse.Namespace) -> int:
    """Plan and show; the run's address is the last line of the table, or in the JSON's place on stderr."""
    prepared = prepare(options)
    if options.json:
        sys.stdout.buffer.write(prepared.plan.encode())
        sys.stdout.buffer.flush()
        print(f"run: {prepared.uri}", file=sys.stderr)
    else:
        _table(prepared)
    plan = prepared.plan
    write_report(
        options,
        Planned(
            plan=plan.digest,
            run=prepared.uri,
            samples=plan.samples,
            chunks=plan.chunks,
            storage_mode=prepared.probed.mode,
            storage_reason=prepared.probed.reason[:500],
        ),
    )
    return EXIT_DONE


def _table(prepared: Prepared) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    plan = prepared.plan
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("task", "documents", "repeats", "samples", "chunks", "few-shot", "data", "fingerprint"):
        table.add_column(
            name, justify="right" if name in ("documents", "repeats", "samples", "chunks", "few-shot") else "left"
        )
    for task in plan.tasks:
        shots = str(task.fewshot.count) if task.fewshot else "0"
        table.add_row(
            task.name,
            f"{task.documents:,}",
            str(task.repeats),
            f"{task.samples:,}",
            str(task.chunks),
            shots,
            task.data.source,
            task.data.fingerprint[:12],
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    pins = ", ".join(f"{name} {_short(value)}" for name, value in sorted(plan.model.pins.items()))
    print(f"model: {plan.model.name} on {plan.model.backend} ({pins})")
    for gate in plan.gates:
        print(f"gate {gate.name}: {_asked(gate)}")
    print(f"determinism: {plan.determinism}; storage: {prepared.probed.mode} ({prepared.probed.reason})")
    print(f"total: {plan.samples:,} samples in {plan.chunks} chunks; plan {plan.digest}")
    print(f"run: {prepared.uri}")


def _asked(gate: GatePlan) -> str:
    name = f"{gate.task} {gate.metric}" + ("" if gate.filter == "none" else f" ({gate.filter})")
    if gate.baseline is not None:
        results = gate.baseline.results[:12]
        return f"{name} not worse by {gate.smallest_difference:g} than in the run with results {results}"
    return f"{name} at least {gate.minimum:g}" if gate.minimum is not None else f"{name} at most {gate.maximum:g}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12]
