"""Shows how a local run is going: a live table for a person at a terminal, plain lines when piped.

Everything shown comes from the workers' advisory reports; nothing here can touch a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay_api.plan import Plan
from assay_api.records import Progress
from assay_runner.duration import duration
from assay_runner.live_display import LiveDisplay
from assay_runner.store.base import Store, StoreUnavailable
from assay_runner.work.board import Board, chunk_samples, read_progress

if TYPE_CHECKING:
    from rich.console import RenderableType

_REFRESH = 0.5
_LINE_EVERY = 5.0
_ACTIVE = ("working", "waiting")
_AT_WORK = ("starting", *_ACTIVE)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The run at one moment."""

    done: int
    """Samples scored, committed or not."""
    total: int
    chunks: int
    chunks_total: int
    errors: int
    rate: float
    """Samples per second over the last seconds."""
    workers: tuple[Progress, ...]

    @property
    def eta(self) -> float | None:
        """Seconds to go at the current rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class Watch:
    """Turns workers' reports into snapshots."""

    def __init__(self, store: Store, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._plan, self._clock = store, plan, clock
        self._board = Board(store, plan, session="", clock=clock, silence=1e9)
        self._sizes = chunk_samples(plan)
        self._history: list[tuple[float, int]] = []

    def look(self) -> Snapshot:
        """The run as it is now."""
        self._board.refresh_markers()
        workers = tuple(read_progress(self._store))
        committed = sum(self._sizes[chunk] for chunk in self._board.committed)
        pending = sum(worker.pending for worker in workers if worker.state not in ("stopped", "done"))
        done = min(self._plan.samples, committed + pending)
        self._history = [*self._history[-20:], (self._clock(), done)]
        (then, before), (now, after) = self._history[0], self._history[-1]
        return Snapshot(
            done=done,
            total=self._plan.samples,
            chunks=len(self._board.committed),
            chunks_total=self._plan.chunks,
            errors=sum(worker.errors for worker in workers),
            rate=max(0.0, (after - before) / (now - then)) if now > then else 0.0,
            workers=workers,
        )


class Display(LiveDisplay):
    """Prints snapshots to stderr, live or line by line."""

    def __init__(self, watch: Watch, *, live: bool, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(live=live)
        self._watch, self._clock = watch, clock
        self._looked = self._printed = clock() - _LINE_EVERY
        self._said = ""

    def tick(self) -> None:
        """Look and show, if it is time to."""
        now = self._clock()
        if now - self._looked < _REFRESH:
            return
        self._looked = now
        try:
            snapshot = self._watch.look()
        except StoreUnavailable:
            return
        if self.is_live:
            self.draw(render(snapshot))
        elif now - self._printed >= _LINE_EVERY and (line := describe(snapshot)) != self._said:
            self._printed, self._said = now, line
            self.note(line)


def describe(snapshot: Snapshot) -> str:
    """A snapshot in one line."""
    share = 100 * snapshot.done // snapshot.total
    active = sum(worker.state in _ACTIVE for worker in snapshot.workers)
    parts = [
        f"{snapshot.done:,}/{snapshot.total:,} samples ({share} %)",
        f"{snapshot.chunks}/{snapshot.chunks_total} chunks",
        f"{snapshot.rate:,.0f}/s",
        f"{active} worker{'s' * (active != 1)}",
    ]
    if snapshot.errors:
        parts.append(f"{snapshot.errors:,} errors")
    troubles = [worker.message for worker in snapshot.workers if worker.state in _AT_WORK and worker.message]
    if troubles:
        # Workers tell of one endpoint in nearly the same words: one of them is enough.
        parts.append(troubles[0])
    elif snapshot.eta is not None and snapshot.done < snapshot.total:
        parts.append(f"{duration(snapshot.eta)} left")
    return "  ".join(parts)


def render(snapshot: Snapshot) -> RenderableType:
    """A snapshot as a live table: one line for the run, one per worker."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row(ProgressBar(total=snapshot.total, completed=snapshot.done, width=40), Text(describe(snapshot)))
    table = Table.grid(padding=(0, 2))
    for worker in sorted(snapshot.workers, key=lambda worker: worker.worker):
        table.add_row(
            worker.worker,
            worker.state,
            f"{worker.samples + worker.pending:,} samples",
            f"{worker.rate:,.0f}/s",
            ", ".join(worker.open),
        )
    return Group(head, table)
