"""Real worker processes, killed with SIGKILL at random moments: the bytes of results.json do not change."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.endpoint import TestEndpoint
from support.runs import colours, finished, start_run, write_job

RUNS = 30


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(latency=0.01, answer=colours) as server:
        yield server


@pytest.fixture(scope="module")
def job(tmp_path_factory, endpoint):
    return write_job(tmp_path_factory.mktemp("kills"), endpoint.url, documents=600)


def children(process: subprocess.Popen) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.fixture(scope="module")
def undisturbed(job, tmp_path_factory):
    return finished(start_run(job, str(tmp_path_factory.mktemp("plain")), 1))


@pytest.mark.parametrize("workers", [2, 5])
def test_more_workers_give_the_same_bytes(job, undisturbed, tmp_path, workers):
    assert finished(start_run(job, str(tmp_path), workers)) == undisturbed


@pytest.mark.timeout(1200)
def test_30_runs_with_workers_killed_at_random_moments_give_the_same_bytes(job, undisturbed, tmp_path):
    chance = random.Random(20261124)
    killed = restarted = 0
    for number in range(RUNS):
        store = tmp_path / f"run{number}"
        while True:
            process = start_run(job, str(store), chance.randint(1, 3))
            # Sometimes everything dies, the parent too, and the user starts again with another number of workers.
            everything = (
                time.monotonic() + chance.uniform(0.7, 2.5) if chance.random() < 0.4 and restarted < RUNS else None
            )
            while process.poll() is None and not (everything and time.monotonic() > everything):
                time.sleep(chance.uniform(0.02, 0.7))
                victims = children(process)
                if victims and chance.random() < 0.5 and killed < 4 * (number + 1):
                    kill(chance.choice(victims))
                    killed += 1
            if process.poll() is None:
                victims = children(process)
                process.kill()
                for victim in victims:
                    kill(victim)
                process.communicate()
                restarted += 1
                continue
            out, err = process.communicate()
            if process.returncode == 0:
                assert out == undisturbed
                break
            assert b"killed" in err, err.decode()
        shutil.rmtree(store)
    assert killed >= RUNS and restarted >= 3


def test_a_worker_that_is_killed_again_and_again_fails_the_run_with_a_sentence_and_keeps_what_was_done(job, tmp_path):
    process = start_run(job, str(tmp_path), 1)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        for child in children(process):
            time.sleep(0.3)
            kill(child)
        time.sleep(0.02)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 1 and not out
    lines = err.decode().splitlines()
    assert lines[-1].startswith(
        "assay: worker 0 was killed again and again (SIGKILL, as the system does when memory runs out)"
    )
    assert f"  assay run {job} --store {tmp_path} --workers 1" in lines
    assert sum("starting it again" in line for line in lines) == 3


def test_workers_that_wait_for_their_run_end_when_the_planning_process_is_killed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        job = write_job(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/v1", documents=4)
        process = start_run(job, str(tmp_path), 2)
        until(lambda: len(children(process)) == 2)
        waiting = children(process)
        process.kill()
        process.communicate()
        until(lambda: not any(map(runs, waiting)))


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_worker_paused_for_longer_than_all_the_rest_took_changes_nothing(job, undisturbed, tmp_path):
    planned = [sys.executable, "-m", "assay_runner", "plan", str(job), "--store", str(tmp_path)]
    subprocess.run(planned, check=True, capture_output=True)
    run = next(tmp_path.rglob("plan.json")).parent
    command = [sys.executable, "-m", "assay_runner", "work", str(run), "--of", "2", "--index"]
    paused = subprocess.Popen([*command, "0"], stderr=subprocess.PIPE)
    while not list(run.rglob("*.commit")):
        time.sleep(0.01)
    paused.send_signal(signal.SIGSTOP)
    # The same share under the same name, as when a pod is replaced while its node is only unreachable.
    for index in ("0", "1"):
        subprocess.run([*command, index], check=True, capture_output=True)
    before = {path: path.read_bytes() for path in run.rglob("*.commit")}
    paused.send_signal(signal.SIGCONT)
    assert paused.wait(60) == 0, paused.stderr.read()
    assert {path: path.read_bytes() for path in run.rglob("*.commit")} == before
    done = subprocess.run(
        [sys.executable, "-m", "assay_runner", "reduce", str(run), "--json"], check=True, capture_output=True
    )
    assert done.stdout == undisturbed


def test_ctrl_c_leaves_a_resumable_run_and_says_how_to_resume_it(job, undisturbed, tmp_path):
    process = start_run(job, str(tmp_path), 2)
    while not list(tmp_path.rglob("*.commit")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err.decode()
    assert f"assay run {job}" in err.decode()
    assert not children(process)
    assert list(tmp_path.rglob("*.commit")) and not list(tmp_path.rglob("results.json"))
    assert finished(start_run(job, str(tmp_path), 3)) == undisturbed


def test_a_worker_stopped_by_sigterm_exits_75_within_its_grace_period(job, tmp_path):
    process = start_run(job, str(tmp_path), 1)
    while not list(tmp_path.rglob("*.commit")):
        time.sleep(0.02)
    run = next(tmp_path.rglob("plan.json")).parent
    extra = subprocess.Popen(
        [sys.executable, "-m", "assay_runner", "work", str(run), "--grace", "5"], stderr=subprocess.PIPE
    )
    time.sleep(1.0)
    if extra.poll() is None:
        extra.send_signal(signal.SIGTERM)
        began = time.monotonic()
        extra.communicate(timeout=10)
        assert extra.returncode == 75 and time.monotonic() - began < 7
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_run_that_is_complete_is_shown_and_not_done_again(job, undisturbed, tmp_path):
    finished(start_run(job, str(tmp_path), 2))
    process = start_run(job, str(tmp_path), 2)
    out, err = process.communicate(timeout=60)
    assert out == undisturbed and b"already complete" in err


def test_a_worker_with_nothing_but_the_run_s_address_does_its_share(job, undisturbed, tmp_path):
    """Neither task folder nor data nor manifest: a copy of the store in another place is enough."""
    store = tmp_path / "store"
    subprocess.run(
        [sys.executable, "-m", "assay_runner", "plan", str(job), "--store", str(store)], check=True, capture_output=True
    )
    moved = tmp_path / "moved"
    shutil.move(store, moved)
    run = next(moved.rglob("plan.json")).parent
    away = job.parent.rename(job.parent.with_name("away"))
    try:
        subprocess.run(
            [sys.executable, "-m", "assay_runner", "work", str(run)], check=True, cwd=tmp_path, capture_output=True
        )
        done = subprocess.run(
            [sys.executable, "-m", "assay_runner", "reduce", str(run), "--json"],
            check=True,
            cwd=tmp_path,
            capture_output=True,
        )
    finally:
        away.rename(job.parent)
    assert done.stdout == undisturbed
