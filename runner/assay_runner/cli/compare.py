"""`assay compare RUN RUN`: whether B is better than A, by how much, and how sure that is."""

from __future__ import annotations

import argparse
import sys

from assay_api.comparison import Comparison, MetricComparison
from assay_api.errors import EXIT_DONE
from assay_runner.compare.compare import compare_runs
from assay_runner.compare.finished import open_finished


def compare(options: argparse.Namespace) -> int:
    """Compare two finished runs; the outcome has no part in the exit code.

    Raises:
        AssayError: a run is not finished or not sound, or the two do not measure the same thing.
    """
    compared = compare_runs(open_finished(options.a), open_finished(options.b))
    if options.json:
        sys.stdout.buffer.write(compared.encode())
        sys.stdout.buffer.flush()
        return EXIT_DONE
    for label, run in (("A", compared.a), ("B", compared.b)):
        print(f"{label}: {run.model} on {run.backend}, job {run.job}, plan {run.plan[:12]}")
    _table(compared)
    for note in compared.notes:
        print(f"note: {note}")
    for metric in _rows(compared):
        if metric.headline:
            print(metric.sentence)
    return EXIT_DONE


def _rows(compared: Comparison) -> list[MetricComparison]:
    of_tasks = [metric for task in compared.tasks for metric in task.metrics]
    return of_tasks + [metric for group in compared.groups for metric in group.metrics]


def _table(compared: Comparison) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("task", "metric", "A", "B", "B − A", "95 % interval", "p", "p (Holm)", "won/lost", "n", "left out"):
        table.add_column(name, justify="left" if name in ("task", "metric") else "right", no_wrap=True)
    for task in compared.tasks:
        for metric in task.metrics:
            table.add_row(task.alias or task.task, *_cells(metric))
    for group in compared.groups:
        for metric in group.metrics:
            table.add_row(f"[bold]{group.group}[/bold]", *_cells(metric))
    # A pipe has no width: the table keeps its own, so that programs and logs get whole lines.
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cells(metric: MetricComparison) -> tuple[str, ...]:
    name = metric.metric if metric.filter == "none" else f"{metric.metric} ({metric.filter})"
    interval = "–"
    if metric.ci_low is not None and metric.ci_high is not None:
        interval = f"\\[{metric.ci_low:+.4f}, {metric.ci_high:+.4f}]"
    return (
        name,
        _value(metric.value_a),
        _value(metric.value_b),
        _value(metric.difference, "+.4f"),
        interval,
        _p_value(metric.p_value),
        _p_value(metric.p_adjusted),
        "–" if metric.wins is None else f"{metric.wins:,}/{metric.losses:,}",
        f"{metric.n:,}",
        f"{metric.left_out:,}",
    )


def _value(value: float | dict[str, float | None] | None, form: str = ".4f") -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(part, form)}" for key, part in value.items())
    return "–" if value is None else format(value, form)


def _p_value(value: float | None) -> str:
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
