"""`assay reduce RUN` and `assay results RUN`: compute what came out, and show it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assay_api import layout
from assay_api.base import sha256
from assay_api.errors import EXIT_DONE, Corrupt, Incomplete
from assay_api.results import MetricResult, Results, RunReport
from assay_api.verdicts import exit_code
from assay_runner.cli import garbage
from assay_runner.cli.verdicts import print_verdicts
from assay_runner.reduce.verdicts import stored_gates
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed


def reduce(options: argparse.Namespace) -> int:
    """Check the run and compute its results.

    Raises:
        Refused: the store does not hold exactly what was planned; no results were written.
    """
    from assay_runner.plan.write import committing_store
    from assay_runner.reduce.scanners import Scanners, scanners_for
    from assay_runner.work.setup import read_plan

    garbage.seldom()
    uri, prefix = layout.split_run(options.run)
    root = open_store(uri, None)
    store, probed = committing_store(Prefixed(root, prefix))
    with Scanners(scanners_for(read_plan(store).samples)) as scanners:
        # They start while this is imported, which takes as long.
        from assay_runner.gates.on_demand import judge_run
        from assay_runner.reduce.reducer import reduce_run

        rate = options.max_error_rate
        results = reduce_run(root, store, probed, judge_run, scanners=scanners, max_error_rate=rate)
    show(store, options.run, as_json=options.json)
    if options.report:
        from assay_runner.cli.report import reduced, write_report

        run = RunReport.decode(store.get(layout.RUN), store.location(layout.RUN))
        write_report(options, reduced(results, run, sha256(results.encode()), stored_gates(store)))
    return EXIT_DONE


def results(options: argparse.Namespace) -> int:
    """Show the results of a finished run, or of an EvalJob on the cluster."""
    if _names_a_job(options):
        from assay_runner.cli.status import results_of_job

        return results_of_job(options)
    uri, prefix = layout.split_run(options.run)
    show(Prefixed(open_store(uri, None), prefix), options.run, as_json=options.json)
    return EXIT_DONE


def _names_a_job(options: argparse.Namespace) -> bool:
    """Whether RUN is a name on a cluster: a run's address always has slashes."""
    return "/" not in options.run and (bool(options.namespace or options.context) or not Path(options.run).exists())


def show(store: Store, run: str, *, as_json: bool) -> int:
    """Print results.json as it is, or as a table with the verdicts on gates below it.

    Returns the exit code of someone who has waited for the verdicts.

    Raises:
        Incomplete: the run has no results.
    """
    try:
        data = store.get(layout.RESULTS)
    except NotFoundInStore as error:
        raise Incomplete(
            f"{run} has no results yet; finish it with `assay run`, or `assay work` and `assay reduce`."
        ) from error
    report, gates = _report(store), stored_gates(store)
    code = exit_code(one.verdict for one in gates.verdicts) if gates else EXIT_DONE
    if as_json:
        print(report, file=sys.stderr)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return code
    _table(Results.decode(data, store.location(layout.RESULTS)))
    if gates:
        print_verdicts((one.name, one.verdict, one.message) for one in gates.verdicts)
    print(f"results: {store.location(layout.RESULTS)}")
    print(f"samples: {store.location(layout.SAMPLES)}")
    print(report, file=sys.stderr if report.startswith("assay: ") else sys.stdout)
    return code


def _report(store: Store) -> str:
    """Where the report is, or why there is none."""
    where = store.location(layout.RUN)
    try:
        run = RunReport.decode(store.get(layout.RUN), where)
    except (NotFoundInStore, Corrupt):
        return (
            f"assay: {where} cannot be read, so it is not known whether there is a report; `assay reduce` writes both."
        )
    failure = run.report_failure
    if failure is None:
        return f"{_speed(run)}report:  {store.location(layout.REPORT)}"
    return f"assay: {store.location(layout.REPORT)} could not be written ({failure}); the results do not depend on it."


def _speed(run: RunReport) -> str:
    """A line with the run's goodput, where it is known."""
    if run.goodput is None:
        return ""
    found = run.goodput
    held = f", {run.accelerator_seconds:,.0f} accelerator-seconds" if run.accelerator_seconds else ""
    return (
        f"goodput: {found.samples:,.1f} samples/s, {found.tokens_out:,.1f} tokens/s over {found.seconds:,.1f} s{held}\n"
    )


def _table(results: Results) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{results.job}: {results.model['name']}", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("task", "metric", "value", "± stderr", "95 % interval", "n", "errors"):
        table.add_column(name, justify="left" if name in ("task", "metric") else "right", no_wrap=True)
    for task in results.tasks:
        errors = sum(task.errors.values())
        for metric in task.metrics:
            table.add_row(task.alias or task.task, *_cells(metric), f"{errors:,}" if errors else "0")
    for group in results.groups:
        for metric in group.metrics:
            table.add_row(f"[bold]{group.group}[/bold]", *_cells(metric), "")
    # A pipe has no width: the table keeps its own, so that programs and logs get whole lines.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    covered = results.coverage
    failed = "; ".join(f"{kind} {count:,}" for task in results.tasks for kind, count in task.errors.items())
    print(
        f"{covered.scored:,} of {covered.samples:,} samples scored, {covered.errors:,} errors"
        f"{f' ({failed})' if failed else ''}; determinism: {results.determinism}; plan {results.plan[:12]}"
    )


def _cells(metric: MetricResult) -> tuple[str, str, str, str, str]:
    name = metric.metric if metric.filter == "none" else f"{metric.metric} ({metric.filter})"
    interval = "–"
    if metric.ci_low is not None and metric.ci_high is not None:
        interval = f"[{metric.ci_low:.4f}, {metric.ci_high:.4f}]"
    if isinstance(metric.value, dict):
        value = ", ".join(f"{key} {_number(part)}" for key, part in metric.value.items())
    else:
        value = _number(metric.value)
    return name, value, _number(metric.stderr), interval.replace("[", r"\["), f"{metric.n:,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
