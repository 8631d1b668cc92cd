"""How long a user waits before anything happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from assay_runner.store.file import FileStore
from assay_runner.store.probe import probe
from benchmarks.stub import Stub, job

_TIMES = 9


def startup() -> dict[str, object]:
    """`assay --help` beside a bare interpreter, `assay run` up to its first request, and the probe of a folder in it, in
    milliseconds; medians."""
    return {
        "assay_help_ms": _median_ms([sys.executable, "-m", "assay_runner", "--help"]),
        "bare_python_ms": _median_ms([sys.executable, "-c", "pass"]),
        "limit_help_ms": 150,
        "assay_run_to_first_request_ms": statistics.median(_first_request_ms() for _ in range(_TIMES)),
        "limit_first_request_ms": 1500,
        "probe_ms": statistics.median(_probe_ms() for _ in range(_TIMES)),
        "limit_probe_ms": 1000,
    }


def _first_request_ms() -> float:
    with Stub() as stub, tempfile.TemporaryDirectory() as folder:
        path = job(Path(folder), stub.url, {"name": "easy_vqa", "limit": 1000})
        began = time.monotonic()
        command = [sys.executable, "-m", "assay_runner", "run", path, "--store", folder]
        subprocess.run(command, check=True, capture_output=True)
        return round(1000 * (stub.stats()["first"] - began), 1)


def _probe_ms() -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        assert probe(FileStore(Path(folder))).mode == "conditional"
        return round(1000 * (time.monotonic() - began), 1)


def _median_ms(command: list[str]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        times.append(1000 * (time.monotonic() - began))
    return round(statistics.median(times), 1)
