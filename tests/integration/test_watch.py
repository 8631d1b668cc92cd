"""`assay watch` against a real S3 server: killed, doubled and started again, each checkpoint has one number for good."""

import random
import signal
import subprocess
import sys
import time

import pytest

from assay_api.reports import Ended, Watched, read_report
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.watch.numbers import Numbers
from support.s3 import s3_server, s3_store

__all__ = ["s3_server", "s3_store"]

PART = "research/nightly/uid/"


@pytest.fixture
def settings(s3_store):
    return s3_store()


@pytest.fixture
def watched(settings):
    return settings.uri.replace("/runs", "/train")


@pytest.fixture
def start(settings, watched, tmp_path):
    """Start a watcher, which reports into a file of its own."""
    started = []

    def run(*arguments, uri=None):
        report = tmp_path / f"report-{len(started)}"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "assay_runner", "watch", uri or watched, "--numbers", f"{settings.uri}/{PART}"),
                *("--poll", "0.1", "--report", str(report), *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, report

    yield run
    for process in started:
        process.kill()
        process.communicate()


def told(process, report):
    process.communicate(timeout=60)
    return read_report(report.read_text())


def numbered(settings, watched):
    numbers = Numbers(Prefixed(open_store(settings.uri, None), PART), watched)
    numbers.load()
    return [found.name for found in numbers.after(0)]


def test_killed_and_doubled_watchers_give_each_checkpoint_one_number(settings, watched, start, s3_server):
    chance, train = random.Random(1), open_store(watched, None)
    names = [f"checkpoint-{number}" for number in range(0, 240, 10)]
    running, acknowledged, seen = [], 0, []
    deadline = time.monotonic() + 100
    while len(seen) < len(names):
        assert time.monotonic() < deadline, seen
        for name in names[: len(seen) + 5]:
            train.put(f"{name}/weights", b"w")
            train.put(f"{name}/DONE", b"")
        if s3_server.atomic or not running:
            running = [*running, start("--ready-file", "DONE", "--after", str(acknowledged))]
        process, report = running[0]
        if len(running) == 2 or not s3_server.atomic:
            if chance.random() < 0.4:
                time.sleep(chance.random())
                process.kill()
            process.wait(60)
            running = running[1:]
            if process.returncode == 0 and isinstance(word := read_report(report.read_text()), Watched):
                for landed in word.found:
                    if landed.number == acknowledged + 1:
                        acknowledged, seen = landed.number, [*seen, landed.name]
    assert sorted(seen) == sorted(names) and numbered(settings, watched)[: len(seen)] == seen


def test_a_checkpoint_that_is_still_written_is_waited_for(settings, watched, start):
    train = open_store(watched, None)
    train.put("checkpoint-1/part-0", b"w")
    process, report = start("--settle", "2")
    for part in range(1, 6):
        time.sleep(0.5)
        train.put(f"checkpoint-1/part-{part}", b"w")
        last = time.monotonic()
    word = told(process, report)
    assert [landed.name for landed in word.found] == ["checkpoint-1"]
    assert time.monotonic() - last >= 2


def test_a_watcher_that_finds_nothing_ends_well_with_an_empty_report(start):
    process, report = start("--patience", "0.3")
    assert told(process, report) == Watched() and process.returncode == 0


def test_one_that_is_asked_to_stop_can_be_started_again(start, settings):
    process, report = start()
    probed = Prefixed(open_store(settings.uri, None), PART)
    while "storage.json" not in probed.list("", recursive=False):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75 and read_report(report.read_text()).kind == "Stopped"


def test_a_bucket_that_is_not_there_is_said(start):
    process, report = start(uri="s3://assay-no-such-bucket/run")
    word = told(process, report)
    assert process.returncode == 1 and isinstance(word, Ended) and word.kind == "StoreDenied"
    assert "assay-no-such-bucket" in word.message
