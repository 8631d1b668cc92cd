"""Shows a job while one waits for it: live for a person at a terminal, plain lines when piped. All of it on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assay_runner.cluster.job import Job
from assay_runner.cluster.show import bar, note, page, progress, results_table, workers
from assay_runner.cluster.story import Story
from assay_runner.live_display import LiveDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_EVERY = 5.0


class Display(LiveDisplay):
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
        super().__init__(live=live)
        self._whole, self._clock, self._now = whole and live, clock, now
        self._story, self._line, self._printed = Story(), "", clock() - LINE_EVERY

    def show(self, job: Job) -> None:
        """Tell what is new about the job."""
        now = self._now()
        if not self._whole:
            for sentence in self._story.news(job, now):
                self.note(sentence)
        if self.is_live:
            self.draw(_whole(job, now) if self._whole else _glance(job, now))
            return
        line = progress(job, now)
        if line and line != self._line and self._clock() - self._printed >= LINE_EVERY:
            self._line, self._printed = line, self._clock()
            self.note(line)


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
