"""Runs N worker processes of one run on this machine: starts them, replaces the killed ones, stops them together.

They may be started while their run is still being planned. A worker that dies is no failure of the run as long as others
(or its replacement) finish the chunks. A worker that says the manifest is wrong (exit 64) ends the run at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from assay_api.errors import EXIT_DONE, EXIT_FAILED, EXIT_SPEC, EXIT_STOPPED
from assay_runner.cli.worker_process import WorkerProcess, can_copy

RESTARTS = 3
"""How often a worker that was killed is replaced."""
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class Ending:
    """How the workers ended."""

    code: int
    message: str
    """What the worker that decided it had to say."""


class Supervisor:
    """The worker processes of one run; leaving its context kills those that still run."""

    def __init__(self) -> None:
        self._workers: list[WorkerProcess] = []
        self._restarts: dict[int, int] = {}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep(0)

    def start_ahead(self, workers: int) -> None:
        """Start so many workers that wait for their run, where that can be done."""
        if can_copy():
            self._workers = [WorkerProcess.copy(index) for index in range(workers)]

    def run(self, run: str, workers: int, tick: Callable[[], None], note: Callable[[str], None]) -> Ending:
        """Have `workers` workers work on a run and stay until it is over; `tick` is called a few times a second, `note` with
        what the user should know.

        Raises:
            KeyboardInterrupt: the user stopped the run; the workers have ended.
        """
        try:
            self._keep(workers)
            for worker in self._workers:
                worker.tell(run)
            self._workers += [WorkerProcess.program(index, run) for index in range(len(self._workers), workers)]
            while True:
                codes = [worker.code for worker in self._workers]
                if EXIT_SPEC in codes:
                    self._stop_all()
                    return Ending(EXIT_SPEC, _last_words(self._workers[codes.index(EXIT_SPEC)], EXIT_SPEC))
                restarted = [self._restarted(place, run, code, note) for place, code in enumerate(codes)]
                if None not in codes and not any(restarted):
                    return self._verdict([code for code in codes if code is not None])
                tick()
                time.sleep(_POLL)
        except KeyboardInterrupt:
            self._stop_all()
            raise

    def _restarted(self, place: int, run: str, code: int | None, note: Callable[[str], None]) -> bool:
        killed = self._workers[place]
        restarts = self._restarts.get(killed.index, 0)
        if code is None or code >= 0 or restarts == RESTARTS:
            return False
        note(f"worker {killed.index} was killed ({signal.Signals(-code).name}); starting it again")
        self._restarts[killed.index] = restarts + 1
        killed.end()
        self._workers[place] = WorkerProcess.program(killed.index, run)
        return True

    def _verdict(self, codes: list[int]) -> Ending:
        if EXIT_DONE in codes:
            return Ending(EXIT_DONE, "")
        worst = next((place for place, code in enumerate(codes) if code != EXIT_STOPPED), None)
        if worst is None:
            return Ending(EXIT_STOPPED, _last_words(self._workers[0], EXIT_STOPPED))
        return Ending(EXIT_FAILED, _last_words(self._workers[worst], codes[worst]))

    def _stop_all(self) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        try:
            while any(worker.code is None for worker in self._workers):
                time.sleep(_POLL)
        except KeyboardInterrupt:
            for worker in self._workers:
                worker.signal(signal.SIGKILL)

    def _keep(self, count: int) -> None:
        for worker in self._workers[count:]:
            worker.end()
        del self._workers[count:]


def _last_words(worker: WorkerProcess, code: int) -> str:
    lines = worker.output().splitlines()
    said = [line.removeprefix("assay: ") for line in lines if line.startswith("assay: ")]
    if said:
        return said[-1]
    ended = f"ended with exit code {code}"
    if code < 0:
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        ended = f"was killed again and again ({signal.Signals(-code).name}{hint})"
    last = "\n".join(lines[-15:])
    return f"worker {worker.index} {ended}{': ' if last else '.'}{last}"
