"""One worker process of `assay run`, of either kind: a copy of this process, made before it is known what is to be done,
or a program of its own.

A copy has its code loaded already, which takes half a second otherwise, and shares that memory. It can be made only while
this process has a single thread, so what replaces a killed worker is a program of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import IO, NoReturn

LOCAL = "local-"
"""Start of the names of these workers."""
_LOOK_SECONDS = 1.0


def can_copy() -> bool:
    """Whether a copy of this process can be made now."""
    return sys.platform == "linux" and threading.active_count() == 1


class WorkerProcess:
    """A worker, its output in a file."""

    def __init__(self, index: int, process: subprocess.Popen[bytes] | BaseProcess, log: IO[bytes]) -> None:
        self.index, self._process, self._log = index, process, log
        self._waits: Connection | None = None

    @classmethod
    def program(cls, index: int, run: str) -> WorkerProcess:
        """Start one that works on a run."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its worker
        command = [sys.executable, "-m", "assay_runner", *_arguments(run, index, os.getpid())]
        # A session of its own: Ctrl-C reaches this process alone, which then stops the workers in order.
        process = subprocess.Popen(  # noqa: S603 - no shell
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        return cls(index, process, log)

    @classmethod
    def copy(cls, index: int) -> WorkerProcess:
        """Start one that waits to be told its run."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its worker
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(index, os.getpid(), receiver, log.fileno()))
        process.start()
        receiver.close()
        worker = cls(index, process, log)
        worker._waits = sender
        return worker

    @property
    def pid(self) -> int:
        """The process's number."""
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def code(self) -> int | None:
        """How it ended: its exit code, or the negative number of the signal that killed it; None while it runs."""
        if isinstance(self._process, BaseProcess):
            return self._process.exitcode
        return self._process.poll()

    def tell(self, run: str) -> None:
        """Give a copy that waits its run."""
        if self._waits is not None:
            # One that was killed meanwhile is replaced when it is looked at.
            with suppress(BrokenPipeError), self._waits as waits:
                waits.send_bytes(run.encode())
            self._waits = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, if it runs."""
        if self.code is None:
            os.kill(self.pid, number)

    def output(self) -> str:
        """What it has said."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()

    def end(self) -> None:
        """Kill it if it runs, with all that it started, and let go of it."""
        self.signal(signal.SIGKILL)
        # An engine's processes outlive a worker that was killed, and hold the accelerator that the next one needs.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if isinstance(self._process, BaseProcess):
            self._process.join()
        else:
            self._process.wait()
        if self._waits is not None:
            self._waits.close()
        self._log.close()


def _arguments(run: str, index: int, parent: int) -> Sequence[str]:
    return ("work", run, "--parent", str(parent), "--index", str(index), "--worker", f"{LOCAL}{index}")


def _serve(index: int, parent: int, receiver: Connection, log: int) -> NoReturn:
    """A copy's life."""
    from assay_runner.cli import main

    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for output in (1, 2):
        os.dup2(log, output)
    while not receiver.poll(_LOOK_SECONDS):
        if os.getppid() != parent:
            sys.exit()
    sys.exit(main(_arguments(receiver.recv_bytes().decode(), index, parent)))
