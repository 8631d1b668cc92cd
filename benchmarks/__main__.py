"""`make bench`: every case prints one JSON line; the machine's own noise is in all figures of a line alike."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from assay_api.base import canonical

LATENCY, IN_FLIGHT = 0.02, 64


def startup() -> dict[str, object]:
    """`assay --help` beside a bare interpreter, in milliseconds, median of 9."""
    command = [sys.executable, "-m", "assay_runner", "--help"]
    return {"assay_help_ms": _median_ms(command), "bare_python_ms": _median_ms([sys.executable, "-c", "pass"])}


def endpoint(count: int = 9673) -> dict[str, object]:
    """easy-VQA's questions through an endpoint with a set latency, beside a bare aiohttp loop and the latency's own limit."""
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub_endpoint", str(LATENCY)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert stub.stdout
        port = stub.stdout.readline().strip()
        bare = _output([sys.executable, "-m", "benchmarks.bare_loop", port, str(count), str(IN_FLIGHT)])
        with tempfile.TemporaryDirectory() as folder:
            job = Path(folder) / "job.yaml"
            endpoint = {"url": f"http://127.0.0.1:{port}/v1", "maxConcurrency": IN_FLIGHT}
            model = {"backend": "openai", "name": "stub", "endpoint": endpoint}
            spec = {"model": model, "tasks": [{"name": "easy_vqa", "limit": count}]}
            manifest = {
                "apiVersion": "assay.dev/v1alpha1",
                "kind": "EvalJob",
                "metadata": {"name": "bench"},
                "spec": spec,
            }
            job.write_bytes(canonical(manifest))
            began = time.monotonic()
            _output(
                [sys.executable, "-m", "assay_runner", "run", str(job), "--store", folder, "--workers", "2", "--json"]
            )
            seconds = time.monotonic() - began
            report = json.loads(next(Path(folder).rglob("run.json")).read_bytes())
        busy = max(worker["busy_seconds"] for worker in report["workers"])
    finally:
        stub.kill()
        stub.wait()
    return {
        "samples": count,
        "assay_requests_per_s": round(count / busy, 1),
        "assay_whole_run_s": round(seconds, 2),
        "bare_loop_requests_per_s": round(float(bare), 1),
        "limit_requests_per_s": IN_FLIGHT / LATENCY,
        "largest_process_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout.strip()


def _median_ms(command: list[str]) -> float:
    times = []
    for _ in range(9):
        began = time.monotonic()
        _output(command)
        times.append(1000 * (time.monotonic() - began))
    return round(statistics.median(times), 1)


if __name__ == "__main__":
    for case in (startup, endpoint):
        print(json.dumps({"case": case.__name__, **case()}), flush=True)
