"""A hub model is brought into the cache, whole, when the run is planned; workers that share the cache need no hub."""

import hashlib
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.models import make_text_model
from support.runs import write_task

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(files):
    """A hub with one model, `org/tiny`; yields its address and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            asked.append(path)
            name = path.partition(f"/resolve/{COMMIT}/")[2] or path.partition("/resolve/main/")[2]
            if path.startswith("/org/tiny/resolve/") and name in files:
                return self._send(files[name], hashlib.sha1(files[name]).hexdigest())
            if path.startswith("/api/models/org/tiny/tree/"):
                rows = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
                return self._send(json.dumps(rows).encode())
            if path.startswith("/api/models/org/tiny"):
                body = {"id": "org/tiny", "modelId": "org/tiny", "sha": COMMIT, "siblings": [], "tags": []}
                return self._send(json.dumps(body).encode())
            return self._send(b"Entry not found", status=404, error="EntryNotFound")

        def do_HEAD(self):
            self.do_GET()

        def _send(self, data, etag=None, status=200, error=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", COMMIT)
            if etag:
                self.send_header("ETag", f'"{etag}"')
            if error:
                self.send_header("X-Error-Code", error)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = make_text_model(tmp_path_factory.mktemp("model"))
    return {path.name: path.read_bytes() for path in folder.iterdir()} | {"pytorch_model.bin": b"never wanted"}


def test_the_planner_fills_the_cache_and_workers_ask_nobody(assay, write_job, files, tmp_path):
    write_task(tmp_path / "tasks", documents=16)
    job = write_job(
        "hub",
        model={"backend": "transformers", "name": "org/tiny", "args": {"device": "cpu"}},
        tasks=[{"name": "colours"}],
        taskSources=[{"uri": "tasks"}],
    )
    cache, store = tmp_path / "cache", tmp_path / "store"
    with hub(files) as (address, asked):
        env = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "elsewhere")}
        planned = assay("plan", job, "--store", store, "--cache", cache, env=env, check=0)
        assert not any(path.endswith(".bin") for path in asked) and any(".safetensors" in path for path in asked)
        assert not (tmp_path / "elsewhere").exists() and (cache / "huggingface" / "hub").is_dir()
    run = planned.stdout.splitlines()[-1].removeprefix("run: ")
    # The hub is gone now.
    assay("work", run, "--index", 0, "--cache", cache, env=env, check=0)
    plan = json.loads((store / run.partition(str(store))[2].strip("/") / "plan.json").read_bytes())
    assert plan["model"]["pins"]["weights"] == f"commit:{COMMIT}" and plan["model"]["name"] == "org/tiny"
    assay("reduce", run, check=0)


def test_without_the_model_and_without_the_hub_the_sentence_says_so(assay, write_job, tmp_path):
    write_task(tmp_path / "tasks", documents=16)
    job = write_job(
        "hub",
        model={"backend": "transformers", "name": "org/tiny", "args": {"device": "cpu"}},
        tasks=[{"name": "colours"}],
        taskSources=[{"uri": "tasks"}],
    )
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = assay("plan", job, "--store", tmp_path / "s", "--cache", tmp_path / "cache", env=os.environ | env, check=1)
    assert "The model org/tiny is not on this machine and the hub cannot be reached." in done.stderr


def test_a_snapshot_that_was_not_finished_is_not_taken_for_a_whole_one(assay, write_job, files, tmp_path):
    write_task(tmp_path / "tasks", documents=16)
    job = write_job(
        "hub",
        model={"backend": "transformers", "name": "org/tiny", "revision": COMMIT, "args": {"device": "cpu"}},
        tasks=[{"name": "colours"}],
        taskSources=[{"uri": "tasks"}],
    )
    cache = tmp_path / "cache"
    snapshot = cache / "huggingface" / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(files["config.json"])
    command = ("plan", job, "--store", tmp_path / "s", "--cache", cache)
    done = assay(*command, env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}, check=1)
    assert "The model org/tiny is not on this machine and the hub cannot be reached." in done.stderr
    with hub(files) as (address, _):
        assay(*command, env={"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"}, check=0)
    assert (snapshot / "model.safetensors").read_bytes() == files["model.safetensors"]
