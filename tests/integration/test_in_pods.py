"""The commands as pods run them: from a mounted EvalJob and ConfigMaps, with a report, metrics and signals."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from assay_api.base import sha256
from assay_api.reports import Ended, Planned, Reduced, read_report
from support.endpoint import MODEL, TestEndpoint
from support.runs import TASK, UTILS, colours, write_task
from support.s3 import free_port, s3_server

__all__ = ["s3_server"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(answer=colours) as server:
        yield server


@pytest.fixture
def report(tmp_path):
    """The container's termination log: an empty file that exists."""
    file = tmp_path / "termination-log"
    file.touch()
    return file


@pytest.fixture
def mounted(tmp_path, endpoint):
    """The EvalJob and its ConfigMap as the kubelet mounts them; keyword arguments are fields of spec."""
    files = write_task(tmp_path / "files", documents=40)
    data = tmp_path / "data"
    data.mkdir()
    (files / "colours.jsonl").rename(data / "colours.jsonl")
    real = tmp_path / "tasks" / "0" / "..2026_11_24"
    real.mkdir(parents=True)
    (real / "colours.yaml").write_text(TASK.replace("colours.jsonl", str(data / "colours.jsonl")))
    (real / "utils.py").write_text(UTILS)
    for name in ("colours.yaml", "utils.py"):
        (real.parent / name).symlink_to(Path("..data") / name)
    (real.parent / "..data").symlink_to(real.name)

    def write(**spec):
        defaults = {
            "model": {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
            "tasks": [{"name": "colours"}],
            "taskSources": [{"configMapRef": {"name": "my-tasks"}}],
            "storage": {"uri": f"file://{tmp_path}/store"},
            "chunkSize": 8,
        }
        metadata = {"name": "colours", "namespace": "research", "uid": "0f7c-uid", "generation": 1}
        job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": metadata, "spec": defaults | spec}
        (tmp_path / "job.json").write_text(json.dumps(job))
        return ["plan", tmp_path / "job.json", "--config-maps", tmp_path / "tasks"]

    return write


def test_plan_work_reduce_and_delete_report_what_an_operator_needs(assay, mounted, report, tmp_path):
    assay(*mounted(), "--report", report, check=0)
    planned = read_report(report.read_text())
    assert isinstance(planned, Planned)
    assert (planned.samples, planned.chunks, planned.storage_mode) == (40, 5, "conditional")
    assert planned.run == f"file://{tmp_path}/store/research/colours/0f7c-uid"
    plan = (tmp_path / "store/research/colours/0f7c-uid/plan.json").read_bytes()
    assert planned.plan == sha256(plan)

    report.write_text("")
    assay("work", planned.run, "--index", 0, "--worker", "colours-1a2b3c4d-work-0.x-5f", "--report", report, check=0)
    assert report.read_text() == ""

    assay("reduce", planned.run, "--max-error-rate", "0.0", "--report", report, check=0)
    reduced = read_report(report.read_text())
    results = (tmp_path / "store/research/colours/0f7c-uid/results.json").read_bytes()
    assert isinstance(reduced, Reduced)
    assert (reduced.plan, reduced.results, reduced.samples) == (planned.plan, sha256(results), 40)
    assert (reduced.errors, reduced.omitted) == (0, 0)
    assert reduced.tokens_in > 0 and reduced.tokens_out == 40
    assert [row.metric for row in reduced.headlines] == ["exact_match", "f1"]

    report.write_text("")
    assay("delete", planned.run, "--report", report, check=0)
    assert report.read_text() == "" and not (tmp_path / "store/research").exists()
    assert "nothing to delete" in assay("delete", planned.run, check=0).stdout


def test_a_task_that_does_not_exist_is_said_before_the_engine_is_even_imported(assay, mounted, report):
    command = mounted(
        model={"backend": "transformers", "name": str(ROOT / "examples/tiny-vlm/model")}, tasks=[{"name": "colour"}]
    )
    done = assay(*command, "--report", report, env={"PYTHONPROFILEIMPORTTIME": "1"}, check=64)
    ended = read_report(report.read_text())
    assert isinstance(ended, Ended) and (ended.code, ended.kind) == (64, "SpecError")
    assert "there is no such task" in ended.message and "colours" in ended.message
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time" in line}
    assert "assay_runner.plan.planner" in imported and not imported & {"torch", "transformers", "datasets"}


def test_a_bucket_that_is_missing_is_said_before_the_engine_is_even_imported(assay, mounted, s3_server):
    command = mounted(
        model={"backend": "transformers", "name": str(ROOT / "examples/tiny-vlm/model")},
        storage={"uri": "s3://assay-no-such-bucket/runs", "endpointUrl": s3_server.endpoint, "region": "us-east-1"},
    )
    done = assay(*command, env=s3_server.env | {"PYTHONPROFILEIMPORTTIME": "1"}, check=1)
    assert "the bucket does not exist; create it or correct the storage URI." in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time" in line}
    assert not imported & {"torch", "transformers"}


def test_a_tolerance_on_the_command_line_replaces_the_planned_one(assay, mounted, report, tmp_path):
    raising = UTILS.replace("    right =", "    if doc['thing'] == 'thing 3':\n        raise ValueError\n    right =")
    assert raising != UTILS
    command = mounted(errorPolicy={"maxErrorRate": 0.5})
    (tmp_path / "tasks/0/utils.py").write_text(raising)
    run = assay(*command, check=0).stdout.splitlines()[-1].removeprefix("run: ")
    assay("work", run, "--index", 0, check=0)
    done = assay("reduce", run, "--max-error-rate", "0.01", "--report", report, check=1)
    assert "1 of 40 samples failed" in done.stderr and "maxErrorRate 0.01" in done.stderr
    assert read_report(report.read_text()).kind == "TooManyErrors"
    assay("reduce", run, check=0)


def start(*arguments, env=None):
    return subprocess.Popen(
        [sys.executable, "-m", "assay_runner", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})},
    )


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_a_worker_serves_metrics_from_its_start_to_its_end(assay, mounted, tmp_path):
    slow = TestEndpoint(answer=colours, latency=0.2)
    with slow as endpoint:
        model = {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url, "maxConcurrency": 2}}
        run = assay(*mounted(model=model), check=0).stdout.splitlines()[-1].removeprefix("run: ")
        port = free_port()
        worker = start("work", run, "--index", 0, "--metrics-port", port)
        seen = ""

        def scraped():
            nonlocal seen
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    seen = answer.read().decode()
            except OSError:
                return False
            return "assay_run_chunks_committed 0.0" not in seen

        wait_for(scraped)
        assert "assay_run_samples 40.0" in seen and "assay_run_chunks 5.0" in seen
        assert 'assay_worker_state{state="working"} 1.0' in seen
        assert worker.wait(60) == 0
    started = time.monotonic()
    assay("work", run, "--index", 7, "--metrics-port", port, check=0)
    assert time.monotonic() - started < 10


def test_a_worker_that_is_stopped_while_its_backend_loads_ends_at_once(assay, mounted, report, tmp_path):
    command = mounted(model={"backend": "transformers", "name": str(ROOT / "examples/tiny-vlm/model")})
    run = assay(*command, check=0).stdout.splitlines()[-1].removeprefix("run: ")
    progress = Path(run.removeprefix("file://")) / "progress" / "w.json"
    worker = start("work", run, "--index", 0, "--worker", "w", "--report", report)
    wait_for(lambda: progress.exists() and json.loads(progress.read_bytes())["open"])
    stopped = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 75, said
    assert time.monotonic() - stopped < 8
    assert "was asked to stop; 0 of 5 chunks are committed" in said
    assert read_report(report.read_text()).code == 75
    assert json.loads(progress.read_bytes())["state"] == "stopped"


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.5])
def test_a_worker_that_is_stopped_before_it_knows_the_plan_may_be_resumed(assay, mounted, moment):
    run = assay(*mounted(), check=0).stdout.splitlines()[-1].removeprefix("run: ")
    worker = start("work", run, "--index", 0, env={"PYTHONHASHSEED": "0"})
    wait_for(lambda: handles_sigterm(worker.pid))
    time.sleep(moment)
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode in (75, 0), said
    assert worker.returncode == 0 or "stop" in said
    assay("work", run, "--index", 0, check=0)
    assay("reduce", run, check=0)


def handles_sigterm(pid):
    caught = next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")
    )
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1


def test_a_stopped_worker_commits_what_it_has_open_within_its_grace(assay, mounted):
    with TestEndpoint(answer=colours, latency=0.1) as endpoint:
        model = {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url, "maxConcurrency": 2}}
        run = assay(*mounted(model=model), check=0).stdout.splitlines()[-1].removeprefix("run: ")
        folder = Path(run.removeprefix("file://"))
        worker = start("work", run, "--index", 0, "--worker", "w", "--grace", 20)
        wait_for(lambda: list(folder.glob("chunks/colours/*.commit")))
        opened = json.loads((folder / "progress/w.json").read_bytes())["open"]
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=60)
    assert worker.returncode == 75, said
    committed = {path.name.removesuffix(".commit") for path in folder.glob("chunks/colours/*.commit")}
    assert {chunk.partition("/")[2] for chunk in opened} <= committed and len(committed) < 5
    assert {path.name for path in folder.glob("chunks/colours/*") if path.is_dir()} == committed
