"""`make bench`: every case prints one JSON line; the machine's own noise is in all figures of a line alike.

`python -m benchmarks CASE…` runs only the named ones; `CASE=N` with N samples.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from assay_api.base import canonical
from assay_runner.cores import usable_cores

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


def reduce(count: int = 1_000_000) -> dict[str, object]:
    """`assay reduce` of a run in a folder, beside merely parsing the same files in as many processes as there are cores."""
    from benchmarks.process_tree import measured
    from benchmarks.reduce_run import make_run

    cores = usable_cores()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), count, cores)
        usage = measured([sys.executable, "-m", "assay_runner", "reduce", run, "--json"])
        parse = [sys.executable, "-m", "benchmarks.parse_records", folder]
        parts = [
            subprocess.Popen([*parse, str(part), str(cores)], stdout=subprocess.PIPE, text=True)
            for part in range(cores)
        ]
        parsing = max(float(part.communicate()[0]) for part in parts)
        files = list(Path(folder).rglob("chunks/*/*/*.jsonl.zst"))
        size = sum(path.stat().st_size for path in files)
    return {
        "records": count,
        "chunks": len(files),
        "cores": cores,
        "assay_records_per_s": round(count / usage.seconds),
        "assay_whole_command_s": round(usage.seconds, 2),
        "assay_cpu_s": round(usage.cpu_seconds, 2),
        "assay_peak_mb_of_all_processes": usage.peak_mb,
        "assay_processes": usage.processes,
        "bare_parsing_records_per_s": round(count / parsing),
        "store_bytes_per_record": round(size / count),
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


def _main(wanted: list[str]) -> None:
    cases: dict[str, Callable[..., dict[str, object]]] = {case.__name__: case for case in (startup, endpoint, reduce)}
    for name, _, count in (one.partition("=") for one in wanted or cases):
        if name not in cases or (count and not count.isdecimal()):
            sys.exit(f"There is no case {name!r} with {count or 'no'} samples; known cases: {', '.join(cases)}.")
        figures = cases[name](int(count)) if count else cases[name]()
        print(json.dumps({"case": name, **figures}), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
