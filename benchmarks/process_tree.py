"""Time and memory of a command with all the processes that it starts."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took; memory is the largest sum, over the processes alive at one moment, of proportional set sizes
    (a page that several share counts once)."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    processes: int


def measured(command: list[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run the command to its end.

    Raises:
        CalledProcessError: it failed.
    """
    began, before = time.monotonic(), _cpu()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    peak, most = 0, 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak, most
        while not ended.wait(_EVERY):
            sizes = [_pss_kb(pid) for pid in _tree(process.pid)]
            peak, most = max(peak, sum(sizes)), max(most, len(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, err = process.communicate()
    seconds, cpu = time.monotonic() - began, _cpu() - before
    ended.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=err.decode())
    return Usage(seconds, cpu, round(peak / 1024, 1), most)


def _cpu() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            found += [
                int(child)
                for task in Path(f"/proc/{parent}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:
            continue
    return found


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
