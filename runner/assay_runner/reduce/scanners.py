"""The reducer's scanning processes: as many as there are cores, up to four, and each is given files ahead of its answers.

The system does not run them evenly, so a file goes to the one with least to do, and answers are taken as they come.

A run that one process reduces in a second or two gets none, for starting them would take longer than they save.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from assay_api.errors import Failed
from assay_runner.cores import usable_cores
from assay_runner.reduce.scan import Expected, Scanned, scan
from assay_runner.reduce.scanner import BUFFER, answers, ask

_SMALL = 100_000
"""Samples that one process reduces in two seconds, with the memory of one."""
_MOST = 4
"""The reducer itself cannot feed and hear more of them, and each takes 25 MB."""
_AHEAD = 32
"""Files that a process may have been given before it has answered."""
_HELD = 2 << 20
"""For each process, bytes of the files that the caller has no answer for yet, as long as it is more than one file."""
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
        with selectors.DefaultSelector() as selector:
            for process in self._processes:
                selector.register(process.back, selectors.EVENT_READ, process)
            asked: deque[_Process] = deque()
            for expected, data in files:
                while (chosen := self._free(len(data))) is None:
                    yield from _answered(selector, asked)
                chosen.ask(expected, data)
                asked.append(chosen)
            while asked:
                yield from _answered(selector, asked)

    def _free(self, size: int) -> _Process | None:
        """The process with least to do, when it has room for so many bytes and the caller does not hold too much."""
        held = sum(process.held for process in self._processes)
        if held and held + size > _HELD * self.count:
            return None
        process = min(self._processes, key=_load)
        return process if process.has_room(size) else None

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
        self._to, self.back = self._process.stdin, self._process.stdout
        _widen(self.back)
        self._room = _widen(self._to) // 2
        self._asked: deque[int] = deque()
        """Bytes of the files that it has not answered."""
        self._heard = bytearray()
        self._found: deque[tuple[Scanned | None, int]] = deque()
        """Its answers that were not taken, with the bytes of their files."""
        self.unanswered = self.held = 0
        """Bytes of the files that it has not answered, and of those whose answer was not taken."""

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def has_room(self, size: int) -> bool:
        """Whether it can be given a file of so many bytes without waiting for it."""
        return not self._asked or (len(self._asked) < _AHEAD and self.unanswered + size <= self._room)

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
        self.unanswered += len(data)
        self.held += len(data)

    def listen(self) -> None:
        """Take in what it has said, when there is something.

        Raises:
            Failed: it was killed.
        """
        said = os.read(self.back.fileno(), BUFFER)
        if not said:
            raise Failed(self._how_it_ended())
        self._heard += said
        for found in answers(self._heard):
            size = self._asked.popleft()
            self._found.append((found, size))
            self.unanswered -= size

    def has_answered(self) -> bool:
        """Whether there is an answer to take."""
        return bool(self._found)

    def take(self) -> Scanned | None:
        """What it found in the first of the files whose answer was not taken."""
        found, size = self._found.popleft()
        self.held -= size
        return found

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def end(self) -> None:
        """Wait for its end and let go of it."""
        self._process.wait()
        self.back.close()
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


def _answered(selector: selectors.BaseSelector, asked: deque[_Process]) -> Iterator[Scanned | None]:
    """Wait until a process says something; what is known then of the files that `asked` were asked about, in their order,
    up to one that is not answered."""
    for key, _ in selector.select():
        key.data.listen()
    while asked and asked[0].has_answered():
        yield asked.popleft().take()


def _load(process: _Process) -> int:
    return process.unanswered


def _widen(pipe: IO[bytes]) -> int:
    """Have a pipe hold more, where the system allows it; the bytes that it holds."""
    if sys.platform != "linux":
        return _SMALLEST_PIPE
    with suppress(OSError):  # beyond what the system grants to one user
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    return fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ)
