"""A model in object storage is fetched once per cache, whole or not at all, and gives the numbers a folder gives."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay_api.errors import Failed, SpecError
from assay_api.evaljob import Model
from assay_runner.backends.registry import describe
from assay_runner.models.cache import ModelCache
from assay_runner.models.objects import fetch_model
from support.faulty_s3 import Fault, FaultyS3, Forward
from support.s3 import s3_server

__all__ = ["s3_server"]

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"


@pytest.fixture
def server(s3_server, monkeypatch):
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def put(server):
    """Put objects into a fresh bucket; the answer is the address of the model in it."""
    bucket = server.new_bucket()

    def upload(files):
        for key, data in files.items():
            server.client().put_object(Bucket=bucket, Key=f"models/tiny/{key}", Body=data)
        return f"s3://{bucket}/models/tiny"

    return upload


@pytest.fixture
def model(put):
    files = {path.relative_to(VLM).as_posix(): path.read_bytes() for path in VLM.rglob("*") if path.is_file()}
    return put(files | {"pytorch_model.bin": b"code", ".git/config.json": b"{}", "README.md": b"read me"})


SMALL = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40_000, "sub/merges.txt": b""}


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_fetched_is_the_model_and_nothing_else(put, tmp_path):
    uri = put(SMALL | {"weights.bin": b"x", ".hidden/a.json": b"x"})
    folder = fetch_model(uri, tmp_path)
    assert held(folder) == SMALL and folder.parent == tmp_path / "models"
    assert fetch_model(f"{uri}/", tmp_path) == folder or held(fetch_model(f"{uri}/", tmp_path)) == SMALL


def test_a_model_is_pinned_as_its_folder_is(model, tmp_path):
    plain = Model.model_validate({"backend": "transformers", "name": str(VLM), "args": {"device": "cpu"}})
    stored = plain.model_copy(update={"name": model})
    assert describe(stored, 2, ModelCache(tmp_path)) == describe(plain, 2)


def test_a_model_that_was_replaced_is_another_folder(put, tmp_path):
    uri = put(SMALL)
    first = fetch_model(uri, tmp_path)
    put({"config.json": b"[]"})
    second = fetch_model(uri, tmp_path)
    assert first != second and held(second) == SMALL | {"config.json": b"[]"} and held(first) == SMALL


def test_a_prefix_without_a_model_is_named(put, tmp_path):
    uri = put({"README.md": b""})
    with pytest.raises(SpecError, match=f"spec.model.name: no model lies below {uri}"):
        fetch_model(uri, tmp_path)


def test_a_key_that_leads_out_of_the_folder_is_refused(tmp_path, monkeypatch):
    from assay_runner.store.s3 import Entry, S3Store

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    for key in ("../evil.json", "a/../../evil.json", "/evil.json", "a//evil.json"):
        monkeypatch.setattr(S3Store, "entries", lambda self, key=key: iter([Entry(key, 2, '"e"')]))
        with pytest.raises(SpecError, match="cannot be a key"):
            fetch_model("s3://bucket/model", tmp_path)
    assert list(tmp_path.iterdir()) == []


FETCH = """
import sys
from pathlib import Path
from assay_runner.models.objects import fetch_model
print("ready", flush=True)
sys.stdin.readline()
print(fetch_model(sys.argv[1], Path(sys.argv[2])))
"""


def start(uri, cache, endpoint):
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, uri, str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"AWS_ENDPOINT_URL_S3": endpoint},
    )
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


@pytest.fixture
def counted(server):
    with FaultyS3(Forward(server)) as proxy:
        yield proxy


def downloads(proxy):
    return sorted(
        request.path.partition("/models/tiny/")[2] for request in proxy.requests if "/models/tiny/" in request.path
    )


def test_processes_that_start_together_fetch_once(put, tmp_path, counted):
    uri = put(SMALL)
    together = [start(uri, tmp_path, counted.endpoint) for _ in range(3)]
    folders = {process.communicate(timeout=60)[0].strip() for process in together}
    assert len(folders) == 1 and held(Path(folders.pop())) == SMALL
    assert downloads(counted) == sorted(SMALL)


def test_a_fetch_that_is_killed_leaves_nothing_that_looks_complete(put, tmp_path, counted):
    uri = put(SMALL)
    counted.silence = 30
    counted.script = lambda request: Fault.SILENCE_AFTER if request.path.endswith(".safetensors") else None
    process = start(uri, tmp_path, counted.endpoint)
    while not downloads(counted).count("model.safetensors"):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert left.name.endswith(".part")
    folder = fetch_model(uri, tmp_path)
    assert held(folder) == SMALL and left.is_dir(), "where locks do not reach, somebody may still be at work on it"
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(left, (long_ago, long_ago))
    shutil.rmtree(folder)
    assert held(fetch_model(uri, tmp_path)) == SMALL
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [folder]


def test_a_folder_that_lost_a_part_of_the_model_is_fetched_anew(put, tmp_path):
    uri = put(SMALL)
    folder = fetch_model(uri, tmp_path)
    (folder / "model.safetensors").unlink()
    assert fetch_model(uri, tmp_path) == folder and held(folder) == SMALL
    with (folder / "config.json").open("ab") as file:
        file.write(b" ")
    assert fetch_model(uri, tmp_path) == folder and held(folder) == SMALL


def test_an_answer_that_breaks_off_is_gone_on_with(put, tmp_path, counted, monkeypatch):
    data = os.urandom(20_000_000)
    uri = put(SMALL | {"model.safetensors": data})
    left = [Fault.TRUNCATE_AFTER]
    counted.script = lambda request: left.pop() if left and request.path.endswith(".safetensors") else None
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", counted.endpoint)
    folder = fetch_model(uri, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == data
    ranges = [request.headers.get("Range") for request in counted.requests if request.path.endswith(".safetensors")]
    assert len(ranges) == 2 and ranges[0] is None and int(ranges[1].strip("bytes=-")) >= 8 << 20


def test_a_cache_that_cannot_be_written_is_named(put, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(Failed, match=r"cannot be kept below"):
        fetch_model(put(SMALL), tmp_path)


def test_a_job_over_a_stored_model_gives_a_folders_numbers(assay, write_job, model, tmp_path):
    def spec(name):
        return {
            "model": {"backend": "transformers", "name": name, "args": {"device": "cpu", "batch_size": 32}},
            "tasks": [{"name": "easy_vqa", "limit": 64}],
        }

    plain = assay(
        "run", write_job("job", **spec(str(VLM))), "--json", "--workers", 1, "--store", tmp_path / "a", check=0
    )
    planned = assay(
        "plan", write_job("job", **spec(model)), "--store", tmp_path / "b", "--cache", tmp_path / "cache", check=0
    )
    run = planned.stdout.splitlines()[-1].removeprefix("run: ")
    (folder,) = (path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())
    fetched = folder.stat().st_mtime_ns
    assay("work", run, "--index", 0, "--cache", tmp_path / "cache", check=0)
    assert [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()] == [folder]
    assert folder.stat().st_mtime_ns == fetched
    stored = json.loads(assay("reduce", run, "--json", check=0).stdout)
    expected = json.loads(plain.stdout)
    assert stored["tasks"] == expected["tasks"] and stored["model"]["name"] == model
