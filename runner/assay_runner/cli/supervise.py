"""Runs N worker processes of one run on this machine: starts them, replaces the killed ones, stops them together.

A worker that dies is no failure of the run as long as others (or its replacement) finish the chunks. A worker that says
the manifest is wrong (exit 64) ends the run at once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from assay_api.errors import EXIT_DONE, EXIT_FAILED, EXIT_SPEC, EXIT_STOPPED

LOCAL = "local-"
"""Start of the names of these workers."""
RESTARTS = 3
"""How often a worker that was killed is replaced."""
_POLL = 0.2


@dataclass(slots=True)
class _Child:
    index: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How the workers ended."""

    code: int
    message: str
    """What the worker that decided it had to say."""


@dataclass(slots=True)
class Supervisor:
    """The worker processes of one run."""

    command: Sequence[str]
    """Start of every worker's command line; `--index` and `--worker` are added."""
    workers: int
    on_note: Callable[[str], None]
    _children: list[_Child] = field(default_factory=list)

    def run(self, tick: Callable[[], None]) -> Ending:
        """Start the workers and stay until the run is over; `tick` is called a few times a second.

        Raises:
            KeyboardInterrupt: the user stopped the run; the workers have ended.
        """
        try:
            self._children = [self._start(index) for index in range(self.workers)]
            while True:
                ending = self._look()
                if ending:
                    return ending
                # As `_look` found them: a worker that was killed since is still to be replaced.
                if all(child.process.returncode is not None for child in self._children):
                    return self._verdict()
                tick()
                time.sleep(_POLL)
        except KeyboardInterrupt:
            self._stop_all()
            raise
        finally:
            self._kill_all()

    def processes(self) -> dict[int, int]:
        """Worker index → process id of the workers that run."""
        return {child.index: child.process.pid for child in self._children if child.process.poll() is None}

    def _start(self, index: int, restarts: int = 0) -> _Child:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its worker
        command = [*self.command, "--index", str(index), "--worker", f"{LOCAL}{index}"]
        # A session of its own: Ctrl-C reaches this process alone, which then stops the workers in order.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        return _Child(index, process, log, restarts)

    def _running(self) -> bool:
        return any(child.process.poll() is None for child in self._children)

    def _look(self) -> Ending | None:
        for place, child in enumerate(self._children):
            code = child.process.poll()
            if code == EXIT_SPEC:
                self._stop_all()
                return Ending(EXIT_SPEC, _last_words(child))
            if code is not None and code < 0 and child.restarts < RESTARTS:
                name = signal.Signals(-code).name
                self.on_note(f"worker {child.index} was killed ({name}); starting it again")
                child.log.close()
                self._children[place] = self._start(child.index, child.restarts + 1)
        return None

    def _verdict(self) -> Ending:
        codes = [child.process.returncode for child in self._children]
        if EXIT_DONE in codes:
            return Ending(EXIT_DONE, "")
        stopped = all(code == EXIT_STOPPED for code in codes)
        worst = next(
            (child for child in self._children if child.process.returncode not in (EXIT_STOPPED,)), self._children[0]
        )
        return Ending(EXIT_STOPPED if stopped else EXIT_FAILED, _last_words(worst))

    def _stop_all(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            while self._running():
                time.sleep(_POLL)
        except KeyboardInterrupt:
            self._signal(signal.SIGKILL)

    def _kill_all(self) -> None:
        self._signal(signal.SIGKILL)
        for child in self._children:
            child.process.wait()
            child.log.close()

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(number)


def worker_command(run: str, workers: int, parent: int) -> list[str]:
    """The command line of a worker of `run`, without its index."""
    return [sys.executable, "-m", "assay_runner", "work", run, "--of", str(workers), "--parent", str(parent)]


def _last_words(child: _Child) -> str:
    child.log.seek(0)
    lines = child.log.read().decode(errors="replace").strip().splitlines()
    code = child.process.returncode
    said = [line.removeprefix("assay: ") for line in lines if line.startswith("assay: ")]
    if said:
        return said[-1]
    ended = f"ended with exit code {code}"
    if code < 0:
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        ended = f"was killed again and again ({signal.Signals(-code).name}{hint})"
    last = "\n".join(lines[-15:])
    return f"worker {child.index} {ended}{': ' if last else '.'}{last}"
