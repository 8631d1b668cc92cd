"""The reducer over a million records, against merely parsing the same files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from assay_runner.cores import usable_cores
from benchmarks.process_tree import measured
from benchmarks.reduce_run import make_run


def reduce(count: int = 1_000_000) -> dict[str, object]:
    """`assay reduce` of a run in a folder, beside merely parsing the same files in as many processes as there are cores."""
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
        "limit_mb": 300,
        "assay_processes": usage.processes,
        "bare_parsing_records_per_s": round(count / parsing),
        "store_bytes_per_record": round(size / count),
    }
