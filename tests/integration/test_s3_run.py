"""A whole run over object storage: the same bytes as over a folder, with workers killed, and where writes are not
conditional."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from support.endpoint import TestEndpoint
from support.faulty_s3 import FaultyS3, MemoryS3
from support.runs import colours, finished, start_run, write_job
from support.s3 import s3_server, s3_store

__all__ = ["s3_server", "s3_store"]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    with TestEndpoint(latency=0.01, answer=colours) as endpoint:
        yield write_job(tmp_path_factory.mktemp("s3-run"), endpoint.url, documents=200)


@pytest.fixture(scope="module")
def over_a_folder(job, tmp_path_factory):
    return finished(start_run(job, str(tmp_path_factory.mktemp("folder")), 1))


@pytest.mark.parametrize("workers", [1, 3])
def test_s3_gives_the_same_bytes_as_a_folder(job, over_a_folder, s3_store, workers):
    assert finished(start_run(job, s3_store().uri, workers)) == over_a_folder


def test_workers_killed_on_s3_change_nothing(job, over_a_folder, s3_store):
    process = start_run(job, s3_store().uri, 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(4):
        time.sleep(0.8)
        victims = children.read_text().split() if process.poll() is None else []
        if victims:
            os.kill(int(victims[0]), signal.SIGKILL)
    assert finished(process) == over_a_folder


def test_where_writes_are_not_conditional_the_run_says_so_and_pins_what_it_read(job, over_a_folder, monkeypatch, assay):
    with FaultyS3(MemoryS3(condition="ignored")) as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.setenv(name, "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        process = start_run(job, "s3://bucket/runs", 2)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, over_a_folder)
        assert "storage: fallback, since creations are not exclusive here" in err.decode()
        run = assay("plan", job, "--store", "s3://bucket/runs", check=0).stdout.splitlines()
        assert any("storage: fallback" in line for line in run)
        address = run[-1].removeprefix("run: ")
        from assay_runner.store.open import open_store

        report = json.loads(open_store(address, None).get("run.json"))
    assert report["storage_mode"] == "fallback" and len(report["pins"]) == 20
    assert "ignores the condition" in report["storage_reason"]
