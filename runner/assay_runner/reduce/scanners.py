"""The reducer's scanning processes: as many as there are cores, asked in turn, and a few files ahead of the answers.

A run that one process reduces in a second or two gets none, for starting them would take longer than they save.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import IO, Self

from assay_api.errors import Failed
from assay_runner.cores import usable_cores
from assay_runner.reduce.scan import Expected, Scanned, scan
from assay_runner.reduce.scanner import BUFFER, answer, ask

_SMALL = 20_000
"""Samples that one process reduces."""
_MOST = 16
_AHEAD = 8
"""Files that a process may have been given before it has answered."""
_PIPE = 1 << 20
"""Bytes that a pipe to or from a process shall hold."""
_SMALLEST_PIPE = 16 << 10
"""What it holds on any system."""
_SECRET = ("AWS_", "OPENAI_")
"""How the names of variables begin that a scanning process has no use for."""
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
"""For glibc: one chunk's buffers are the next one's. Given back and asked for anew, they cost a tenth of the time."""
_COMMAND = [sys.executable, "-m", "assay_runner.reduce.scanner"]


def scanners_for(samples: int, cores: int | None = None) -> int:
    """How many scanning processes a run of so many samples gets: none for a small run or on one core."""
    cores = usable_cores() if cores is None else cores
    return 0 if samples <= _SMALL or cores < 2 else min(cores, _MOST)


class Scanners:
    """A context with `count` processes; with none of them, `scan` works in the calling process."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: list[_Process] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self.count):
                self._processes.append(_Process())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def scan(self, files: Iterable[tuple[Expected, bytes]]) -> Iterator[Scanned | None]:
        """As `scan.scan` for each file, in their order; files are taken a few ahead of what is found in them.

        Raises:
            Failed: a process was killed.
        """
        if not self.count:
            yield from (scan(*file) for file in files)
            return
        asked: deque[_Process] = deque()
        for process, (expected, data) in zip(cycle(self._processes), files, strict=False):
            while not process.has_room(len(data)):
                yield asked.popleft().answer()
            process.ask(expected, data)
            asked.append(process)
        while asked:
            yield asked.popleft().answer()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.end()


class _Process:
    """One scanning process. It is never given so much at a time that both sides could wait for the other to read."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C reaches the reducer alone, which then ends its processes.
        self._process = subprocess.Popen(  # noqa: S603
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=BUFFER,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(_SECRET)} | _KEEP_MEMORY,
        )
        assert self._process.stdin and self._process.stdout
        self._to, self._back = self._process.stdin, self._process.stdout
        _widen(self._back)
        self._room = _widen(self._to) // 2
        self._asked: deque[int] = deque()
        """Bytes of the files that it has not answered."""

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def has_room(self, size: int) -> bool:
        """Whether it can be given a file of so many bytes without waiting for it."""
        return not self._asked or (len(self._asked) < _AHEAD and sum(self._asked) + size <= self._room)

    def ask(self, expected: Expected, data: bytes) -> None:
        """Give it a file that it has room for.

        Raises:
            Failed: it was killed.
        """
        try:
            ask(self._to, expected, data)
        except BrokenPipeError as error:
            raise Failed(self._how_it_ended()) from error
        self._asked.append(len(data))

    def answer(self) -> Scanned | None:
        """What it found in the file that it was given first.

        Raises:
            Failed: it was killed.
        """
        try:
            found = answer(self._back)
        except EOFError as error:
            raise Failed(self._how_it_ended()) from error
        self._asked.popleft()
        return found

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def end(self) -> None:
        """Wait for its end and let go of it."""
        self._process.wait()
        self._back.close()
        # What could not be written any more is lost, as it should be.
        with suppress(BrokenPipeError):
            self._to.close()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return (
                f"A process that the reducer started to read records ended with exit code {code}; start the reduction "
                "again."
            )
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        name = signal.Signals(-code).name
        return (
            f"A process that the reducer started to read records was killed ({name}{hint}); start the reduction again."
        )


def _widen(pipe: IO[bytes]) -> int:
    """Have a pipe hold more, where the system allows it; the bytes that it holds."""
    if sys.platform != "linux":
        return _SMALLEST_PIPE
    with suppress(OSError):  # beyond what the system grants to one user
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    return fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ)
