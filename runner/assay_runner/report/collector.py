"""Takes in a run's records as the reducer reads them and keeps the few that a report shows.

What goes wrong here must not touch a number: the first failure ends the collection and is told at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from assay_api.plan import Plan
from assay_runner.report.clip import row
from assay_runner.report.media import Reference, references
from assay_runner.report.selection import Selection

SAMPLES = 20_000
"""Samples that a report shows at most."""
TEXT = 12 << 20
"""Bytes of their rows at most."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample of the report."""

    task: int
    document: int
    row: bytes
    media: tuple[Reference, ...]


class _Head(msgspec.Struct):
    """What a record's place in the report depends on."""

    id: str
    document: int
    repeat: int
    prompt: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Head)


def _head(line: bytes) -> _Head:
    try:
        return _DECODER.decode(line)
    except msgspec.MsgspecError:  # numbers that are larger than it takes, for one
        return msgspec.convert(json.loads(line), _Head)


class Collector:
    """The samples of one report. Records come in planned order; memory does not grow with their number."""

    def __init__(self, plan: Plan, *, samples: int = SAMPLES, size: int = TEXT) -> None:
        self._repeats = {task.name: task.repeats for task in plan.tasks}
        self._numbers = {task.name: number for number, task in enumerate(plan.tasks)}
        sizes = {task.name: task.samples for task in plan.tasks}
        self._selection = Selection(sizes, plan.seed, samples=samples, size=size)
        self.failure: Exception | None = None
        """What ended the collection early."""

    def likely(self, task: str, places: range) -> list[int]:
        """Of a task's samples at these places, those that may be shown if they did not fail; for whoever reads ahead."""
        return self._selection.likely(task, places) if self.failure is None else []

    def add(self, task: str, line: bytes) -> None:
        """Take in a record by its canonical line, in planned order."""
        if self.failure is not None:
            return
        try:
            head = _head(line)
            failed, place = head.error is not None, head.document * self._repeats[task] + head.repeat
            if self._selection.wants(task, place, failed=failed):
                shown = row(line, head.id, self._numbers[task])
                self._selection.keep(task, place, shown, (head.document, references(head.prompt)), failed=failed)
        except Exception as error:  # noqa: BLE001 - the page is not worth the numbers
            self.failure = error

    def shown(self) -> Iterator[Shown]:
        """The samples to show, in planned order."""
        for kept in self._selection.kept():
            document, media = kept.about
            yield Shown(kept.task, document, kept.row, media)
