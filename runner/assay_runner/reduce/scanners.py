"""The reducer's scanning processes: one more than there are cores, since one at a time waits for the reducer; each is asked
for one chunk at a time by any thread.

A run that one process reduces in a second or two gets none, for starting them would take longer than they save.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from assay_api.errors import Failed
from assay_runner.cores import usable_cores
from assay_runner.reduce.scan import Expected, Scanned, scan
from assay_runner.reduce.scanner import BUFFER, ask

_SMALL = 20_000
"""Samples that one process reduces."""
_MOST = 16
_SECRET = ("AWS_", "OPENAI_")
"""How the names of variables begin that a scanning process has no use for."""
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
"""For glibc: one chunk's buffers are the next one's. Given back and asked for anew, they cost a tenth of the time."""
_COMMAND = [sys.executable, "-m", "assay_runner.reduce.scanner"]


def scanners_for(samples: int, cores: int | None = None) -> int:
    """How many scanning processes a run of so many samples gets: none for a small run or on one core."""
    cores = usable_cores() if cores is None else cores
    return 0 if samples <= _SMALL or cores < 2 else min(cores + 1, _MOST)


class Scanners:
    """A context with `count` processes; with none of them, `scan` works in the calling thread."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()

    def __enter__(self) -> Self:
        try:
            for _ in range(self.count):
                self._processes.append(_start())
        except BaseException:
            self._end()
            raise
        for process in self._processes:
            self._free.put(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def scan(self, expected: Expected, data: bytes) -> Scanned | None:
        """As `scan.scan`, in the next process that is free. For many threads at once.

        Raises:
            Failed: the process was killed.
        """
        if not self.count:
            return scan(expected, data)
        process = self._free.get()
        try:
            assert process.stdin and process.stdout
            return ask(process.stdin, process.stdout, expected, data)
        except (EOFError, BrokenPipeError) as error:
            raise Failed(_how_it_ended(process)) from error
        finally:
            # Also one that has ended: whoever is given it next must not wait for ever.
            self._free.put(process)

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            assert process.stdin and process.stdout
            process.stdout.close()
            # What could not be written any more is lost, as it should be.
            try:
                process.stdin.close()
            except BrokenPipeError:
                continue


def _start() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the reducer alone, which then ends its processes.
    return subprocess.Popen(  # noqa: S603
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=BUFFER,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(_SECRET)} | _KEEP_MEMORY,
    )


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code >= 0:
        return f"A process that the reducer started to read records ended with exit code {code}; start the reduction again."
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    name = signal.Signals(-code).name
    return f"A process that the reducer started to read records was killed ({name}{hint}); start the reduction again."
