"""Shows a job while one waits for it: live for a person at a terminal, plain lines when piped. All of it on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from assay_runner.cluster.job import Job
from assay_runner.cluster.show import bar, note, page, progress, results_table, workers
from assay_runner.cluster.story import Story

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

LINE_EVERY = 5.0


class Display:
    """Where news of one job go.

    Args:
        live: draw over what was drawn, as a terminal allows.
        whole: draw the whole page, which holds all news, instead of telling them one by one.
    """

    def __init__(
        self,
        *,
        live: bool,
        whole: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._is_live, self._whole, self._clock, self._now = live, whole and live, clock, now
        self._live: Live | None = None
        self._story, self._line, self._printed = Story(), "", clock() - LINE_EVERY

    def __enter__(self) -> Self:
        if self._is_live:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, job: Job) -> None:
        """Tell what is new about the job."""
        now = self._now()
        if not self._whole:
            for sentence in self._story.news(job, now):
                self.note(sentence)
        if self._live:
            self._live.update(_whole(job, now) if self._whole else _glance(job, now))
            return
        line = progress(job, now)
        if line and line != self._line and self._clock() - self._printed >= LINE_EVERY:
            self._line, self._printed = line, self._clock()
            self.note(line)

    def note(self, text: str) -> None:
        """Say something once."""
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def _glance(job: Job, now: datetime) -> RenderableType:
    from rich.text import Text

    lines = [f"{bar(job)}  {progress(job, now)}" if job.status.progress else job.status.phase or "Pending"]
    if job.status.workers:
        lines.append(f"workers: {workers(job.status.workers)}")
    if said := note(job, now):
        lines.append(said)
    return Text("\n".join(lines))


def _whole(job: Job, now: datetime) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    text = Text("\n".join(page(job, now)))
    return Group(text, results_table(job)) if job.status.results else text
