"""A whole run on vLLM's engine outlives its worker, and the worker's engine does not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here (see make vllm)")
VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"
COUNT = 300


def below(pid: int) -> Iterator[int]:
    """The processes that one has started, and those that they have."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        yield from below(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_a_killed_worker_takes_its_engine_along_and_another_does_its_chunks(tmp_path: Path) -> None:
    args = {"enforce_eager": True, "max_num_seqs": 16, "kv_cache_memory_bytes": 64 << 20, "dtype": "float32"}
    spec = {
        "model": {"backend": "vllm", "name": str(VLM), "args": args},
        "tasks": [{"name": "easy_vqa", "limit": COUNT}],
        "chunkSize": 20,
    }
    manifest = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "killed"}, "spec": spec}
    (tmp_path / "job.yaml").write_text(json.dumps(manifest))
    store = tmp_path / "runs"
    command = [sys.executable, "-m", "assay_runner", "run", str(tmp_path / "job.yaml"), "--store", str(store)]
    run = subprocess.Popen(
        [*command, "--workers", "1", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TORCHDYNAMO_DISABLE": "1"},
    )
    try:
        wait_for(lambda: run.poll() is not None or len(list(store.rglob("*.commit"))) > 2, 200)
        assert run.poll() is None, "it ended before its worker could be killed"
        [worker] = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
        engine = list(below(worker))
        assert engine
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not any(map(alive, engine)), 60)
        out, _ = run.communicate(timeout=300)
    finally:
        run.kill()
    assert run.returncode == 0
    coverage = json.loads(out)["coverage"]
    assert (coverage["scored"], coverage["errors"]) == (COUNT, 0)
