"""A run whose workers have a server beside them, planned and worked on as pods do it, with a real server and no cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay_api.servers import Server, ServerRef
from assay_api.sidecar import VARIABLE, Sidecar
from support.endpoint import MODEL
from support.runs import write_task
from support.s3 import free_port

PROGRAM = Path(__file__).parents[1] / "support" / "small_server.py"


class Scene:
    """One planned job, and the pods' side of it."""

    def __init__(self, folder: Path, image: str = "small:1") -> None:
        self.folder, self.port = folder, free_port()
        write_task(folder / "tasks", documents=60)
        model = {"backend": "openai", "name": MODEL, "server": {"name": "small", "maxConcurrency": 4}}
        spec = {"model": model, "tasks": [{"name": "colours"}], "taskSources": [{"uri": "tasks"}], "chunkSize": 10}
        meta = {"name": "beside", "uid": "u"}
        job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": meta, "spec": spec}
        (folder / "job.yaml").write_text(json.dumps(job))
        self.run = f"{folder / 'store'}/default/beside/u"

    def told(self, image: str = "small:1", seconds: int = 60) -> dict[str, str]:
        """What the operator tells the pods."""
        readiness = {"timeoutSeconds": seconds}
        server = Server.model_validate({"image": image, "port": self.port, "readiness": readiness})
        return {VARIABLE: Sidecar.of(ServerRef.model_validate({"name": "small"}), server).encode().decode()}

    def start(self, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "assay_runner", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=os.environ | env, stderr=subprocess.PIPE, text=True)

    def do(self, *arguments: str, env: dict[str, str]) -> tuple[int, str]:
        process = self.start(*arguments, env=env)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said, said
        return process.returncode, said

    def plan(self) -> None:
        code, said = self.do("plan", "job.yaml", "--store", str(self.folder / "store"), env=self.told())
        assert code == 0, said

    def serve(self, model: str = MODEL) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PROGRAM), "--model", model, "--port", str(self.port), "--latency", "0.05"]
        return subprocess.Popen(command)


@pytest.fixture
def scene(tmp_path):
    one = Scene(tmp_path)
    one.plan()
    return one


@pytest.fixture
def serving():
    """Start servers that are gone after the test."""
    running = []
    yield running.append
    for server in running:
        server.kill()
        server.wait()


def test_a_worker_waits_for_its_server_and_goes_on_when_it_died(scene, serving):
    worker = scene.start("work", f"file://{scene.run}", env=scene.told())
    time.sleep(2)
    assert worker.poll() is None
    first = scene.serve()
    serving(first)
    while not list(Path(scene.run).rglob("*.commit")):
        time.sleep(0.02)
        assert worker.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    serving(scene.serve())
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert "6 of 6 chunks are" in said
    assert not scene.do("reduce", f"file://{scene.run}", env={})[0]
    results = json.loads((Path(scene.run) / "results.json").read_text())
    assert results["coverage"] == {"samples": 60, "scored": 60, "errors": 0, "chunks": 6}


def test_a_server_that_is_never_ready_ends_the_worker_with_a_sentence(scene):
    code, said = scene.do("work", f"file://{scene.run}", env=scene.told(seconds=1))
    assert code == 1 and "The server beside this worker was not ready in" in said and "Connection refused" in said


def test_a_server_with_another_model_is_refused_before_anything_is_asked(scene, serving):
    serving(scene.serve(model="another"))
    code, said = scene.do("work", f"file://{scene.run}", env=scene.told())
    assert code == 64 and "spec.model.name" in said and "it serves: another" in said


def test_a_worker_with_another_server_than_the_planned_one_commits_nothing(scene):
    code, said = scene.do("work", f"file://{scene.run}", env=scene.told(image="small:2"))
    assert code == 64 and "image small:1 against small:2" in said and "change it back" in said
    code, said = scene.do("work", f"file://{scene.run}", env={})
    assert code == 1 and "planned with server small beside each worker" in said
    assert not list(Path(scene.run).rglob("*.commit"))
