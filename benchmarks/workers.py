"""Workers of unequal speed, and one that comes late, against the time in which all of them together could do the work."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from assay_api.base import canonical
from benchmarks.endpoint import QUESTIONS
from benchmarks.stub import IN_FLIGHT, Stub, job

_LATENCY, _TIMES, _WORKERS = 0.2, 4, 4


def uneven(count: int = QUESTIONS) -> dict[str, object]:
    """Four workers, one of them with an endpoint that is four times slower."""
    each = IN_FLIGHT // _WORKERS / _LATENCY
    ideal = count / (each * (_WORKERS - 1) + each / _TIMES)
    with Stub(_LATENCY) as fast, Stub(_LATENCY * _TIMES) as slow, tempfile.TemporaryDirectory() as folder:
        run = _planned(Path(folder), fast, count)
        workers = [_started(run, 0, at=slow)]
        _wait_for_requests(slow)
        workers += [_started(run, index, at=fast) for index in range(1, _WORKERS)]
        _finish(workers)
        seen, tail = fast.stats(), slow.stats()
    seconds = max(seen["last"], tail["last"]) - seen["first"]
    return {
        "samples": count,
        "requests": seen["requests"] + tail["requests"],
        "seconds": round(seconds, 2),
        "ideal_seconds": round(ideal, 2),
        "of_ideal": round(seconds / ideal, 3),
    }


def late(count: int = QUESTIONS) -> dict[str, object]:
    """Three workers, and a fourth that joins when half of the time is over."""
    each = IN_FLIGHT // _WORKERS / _LATENCY
    without = count / (each * (_WORKERS - 1))
    joined = without / 2
    ideal = joined + (count - joined * each * (_WORKERS - 1)) / (each * _WORKERS)
    with Stub(_LATENCY) as stub, tempfile.TemporaryDirectory() as folder:
        run = _planned(Path(folder), stub, count)
        workers = [_started(run, index, at=stub) for index in range(_WORKERS - 1)]
        _wait_for_requests(stub)
        time.sleep(joined)
        workers.append(_started(run, _WORKERS - 1, at=stub))
        _finish(workers)
        seen = stub.stats()
    return {
        "samples": count,
        "seconds": round(seen["seconds"], 2),
        "ideal_seconds": round(ideal, 2),
        "without_the_late_one_at_best_s": round(without, 2),
        "of_ideal": round(seen["seconds"] / ideal, 3),
    }


def _planned(folder: Path, stub: Stub, count: int) -> Path:
    path = job(folder, stub.url, {"name": "easy_vqa", "limit": count})
    command = [sys.executable, "-m", "assay_runner", "plan", path, "--store", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.rglob("plan.json")).parent


def _started(run: Path, index: int, *, at: Stub) -> subprocess.Popen[bytes]:
    """A worker process; it reads from the run's placement where its endpoint is, so that is written before."""
    placement = json.loads((run / "placement.json").read_bytes())
    (run / "placement.json").write_bytes(canonical(placement | {"url": at.url, "workers": _WORKERS}) + b"\n")
    command = [sys.executable, "-m", "assay_runner", "work", str(run), "--of", str(_WORKERS), "--index", str(index)]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list((run / "progress").glob(f"*{worker.pid}*")):
        time.sleep(0.02)
    return worker


def _wait_for_requests(stub: Stub) -> None:
    while not stub.busy():
        time.sleep(0.02)


def _finish(workers: list[subprocess.Popen[bytes]]) -> None:
    if any(worker.wait(600) for worker in workers):
        raise RuntimeError("a worker failed")
