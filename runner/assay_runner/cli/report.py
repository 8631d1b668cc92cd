"""The last word of a command for whoever started its pod (`--report FILE`): what came out, or why nothing did.

The file is the container's termination message: it exists already, is mounted, and takes `LARGEST` bytes. A report that
cannot be written changes nothing about how a command ended.
"""

from __future__ import annotations

import argparse
import math
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from assay_api.base import canonical
from assay_api.errors import EXIT_FAILED, AssayError
from assay_api.reports import LARGEST, Ended, GateWord, Headline, Reduced, Report
from assay_api.results import MetricResult, Results, RunReport
from assay_api.verdicts import Gates
from assay_runner.work.error_classes import count_class

_LONGEST_KIND = 128


def write_report(options: argparse.Namespace, report: Report) -> None:
    """Write the report where the command line wants it, if it does."""
    file = getattr(options, "report", None)
    if not file:
        return
    try:
        Path(file).write_bytes(report.encode())
    except OSError as error:
        print(f"assay: the report cannot be written to {file} ({error.strerror or error}).", file=sys.stderr)


def ended(error: BaseException) -> Ended:
    """Why a command failed, cut to what fits."""
    kind = type(error).__name__[:_LONGEST_KIND]
    words = _clean(str(error)).strip()
    if isinstance(error, AssayError):
        code, message = error.exit_code, words
    else:
        code, message = EXIT_FAILED, next(iter(words.splitlines()), kind)
    report = Ended(code=code, kind=kind, message=message)
    if len(report.encode()) <= LARGEST:
        return report

    def cut(length: int) -> Ended:
        return report.model_copy(update={"message": f"{message[:length]}…"})

    return cut(bisect_right(range(len(message)), LARGEST, key=lambda length: len(cut(length).encode())) - 1)


def reduced(results: Results, run: RunReport, digest: str, gates: Gates | None = None) -> Reduced:
    """What came out: every verdict, its message cut to a fair part of half the room, then as many headlines, in the order
    of the results, as fit; the rest is counted."""
    every = list(headlines(results))
    report = Reduced(
        plan=results.plan,
        results=digest,
        samples=results.coverage.samples,
        errors=results.coverage.errors,
        errors_by_class=_classes(results),
        tokens_in=run.tokens_in,
        tokens_out=run.tokens_out,
        omitted=len(every),
    )
    if gates is not None:
        report = report.model_copy(update={"gates": _words(gates, LARGEST - len(report.encode()))})
    room = LARGEST - len(report.encode())
    kept: list[Headline] = []
    for headline in every:
        room -= len(headline.encode())  # its final newline stands for the comma between two
        if room < 0:
            break
        kept.append(headline)
    return report.model_copy(update={"headlines": tuple(kept), "omitted": len(every) - len(kept)})


def _classes(results: Results) -> dict[str, int]:
    found: Counter[str] = Counter()
    for task in results.tasks:
        found.update(task.errors)
    told: dict[str, int] = {}
    # The most frequent first: the room is theirs.
    for kind, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        count_class(told, kind, count)
    return told


def _words(gates: Gates, room: int) -> tuple[GateWord, ...]:
    """The verdicts with as much of their messages as half of the `room` holds that is left beside the bare ones."""
    bare = [GateWord(name=one.name, verdict=one.verdict) for one in gates.verdicts]
    part = (room - sum(len(word.encode()) for word in bare)) // 2 // len(bare)
    return tuple(
        word.model_copy(update={"message": _cut(_clean(one.message), part)})
        for word, one in zip(bare, gates.verdicts, strict=True)
    )


def _cut(text: str, size: int) -> str:
    """As much of the text as takes `size` bytes in JSON."""

    def bytes_of(length: int) -> int:
        return len(canonical(_shortened(text, length))) - 2

    if bytes_of(len(text)) <= size:
        return text
    return _shortened(text, max(0, bisect_right(range(len(text)), size, key=bytes_of) - 1))


def _shortened(text: str, length: int) -> str:
    return text if length >= len(text) else f"{text[:length]}…" if length else ""


def headlines(results: Results) -> Iterator[Headline]:
    """Every number of the results as text: tasks first, then groups."""
    for task in results.tasks:
        for metric in task.metrics:
            yield from _headlines(task.task, metric, sum(task.errors.values()))
    for group in results.groups:
        for metric in group.metrics:
            yield from _headlines(group.group, metric, 0)


def _headlines(task: str, metric: MetricResult, errors: int) -> Iterator[Headline]:
    """One headline, or one for each part of a value that has several."""
    filtered = "" if metric.filter == "none" else f" ({metric.filter})"
    parts = metric.value if isinstance(metric.value, dict) else {"": metric.value}
    for part, value in parts.items():
        yield Headline(
            task=task,
            metric=f"{metric.metric}{f'.{part}' if part else ''}{filtered}",
            value=_text(math.nan if value is None else value),
            stderr=None if metric.stderr is None else _text(metric.stderr),
            ci_low=None if metric.ci_low is None else _text(metric.ci_low),
            ci_high=None if metric.ci_high is None else _text(metric.ci_high),
            n=metric.n,
            errors=errors,
        )


def _text(number: float) -> str:
    """Six decimals at most; `nan` for what has no value."""
    return repr(round(number, 6))


def _clean(text: str) -> str:
    """Text that can be encoded: lone surrogates, which undecodable file names bring, become question marks."""
    return text.encode(errors="replace").decode()
