"""How long a user waits before anything happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.stub import Stub, job

_TIMES = 9


def startup() -> dict[str, object]:
    """`assay --help` beside a bare interpreter, and `assay run` up to its first request, in milliseconds; medians."""
    return {
        "assay_help_ms": _median_ms([sys.executable, "-m", "assay_runner", "--help"]),
        "bare_python_ms": _median_ms([sys.executable, "-c", "pass"]),
        "limit_help_ms": 150,
        "assay_run_to_first_request_ms": statistics.median(_first_request_ms() for _ in range(_TIMES)),
        "limit_first_request_ms": 1500,
    }


def _first_request_ms() -> float:
    with Stub() as stub, tempfile.TemporaryDirectory() as folder:
        path = job(Path(folder), stub.url, {"name": "easy_vqa", "limit": 1000})
        began = time.monotonic()
        command = [sys.executable, "-m", "assay_runner", "run", path, "--store", folder]
        subprocess.run(command, check=True, capture_output=True)
        return round(1000 * (stub.stats()["first"] - began), 1)


def _median_ms(command: list[str]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        times.append(1000 * (time.monotonic() - began))
    return round(statistics.median(times), 1)
