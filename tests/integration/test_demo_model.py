"""The demo as a user runs it: a real vision-language model on easy-VQA, by real worker processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.s3 import s3_store

__all__ = ["s3_store"]

ROOT = Path(__file__).parents[2]


def evaluate(store: Path | str, workers: int, *options: str, kill: bool = False) -> bytes:
    command = [sys.executable, "-m", "assay_runner", "run", "examples/easy-vqa.yaml", "--store", str(store), "--json"]
    process = subprocess.Popen(
        [*command, "--workers", str(workers), *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if kill:
        while not list(Path(store).rglob("*.commit")) and process.poll() is None:
            time.sleep(0.05)
        victims = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(victims[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err.decode()
    return out


def test_workers_kills_and_storage_do_not_change_a_byte_of_a_real_model_s_results(tmp_path, s3_store):
    first = evaluate(tmp_path / "one", 1, "--limit", "600")
    assert evaluate(s3_store().uri, 2, "--limit", "600") == first
    assert evaluate(tmp_path / "three", 3, "--limit", "600") == first
    assert evaluate(tmp_path / "killed", 2, "--limit", "600", kill=True) == first


def test_the_demo_model_scores_what_its_notes_say(tmp_path):
    results = json.loads(evaluate(tmp_path, 2))
    scores = {metric["metric"]: metric["value"] for metric in results["tasks"][0]["metrics"]}
    assert scores["exact_match"] == pytest.approx(0.9994, abs=0.0005)
    assert scores["yes_no"] == pytest.approx(0.9994, abs=0.0005)
    assert scores["shape"] == pytest.approx(0.9984, abs=0.001)
    assert scores["colour"] == 1.0
    assert results["coverage"] == {"samples": 9673, "scored": 9673, "errors": 0, "chunks": 61}


def test_two_checkouts_make_the_same_plan(tmp_path):
    """The plan names no place: a copy of the example elsewhere has the same digest."""
    shutil.copytree(ROOT / "examples", tmp_path / "copy")
    plans = [
        subprocess.run(
            [
                sys.executable,
                "-m",
                "assay_runner",
                "plan",
                str(manifest),
                "--store",
                str(tmp_path / f"s{number}"),
                "--json",
            ],
            check=True,
            capture_output=True,
            cwd=tmp_path,
        ).stdout
        for number, manifest in enumerate([ROOT / "examples" / "easy-vqa.yaml", tmp_path / "copy" / "easy-vqa.yaml"])
    ]
    assert plans[0] == plans[1] and len(plans[0]) > 1000
