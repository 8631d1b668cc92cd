"""Deleting a run removes all of it and nothing else, can be interrupted and repeated, and believes no wrong address."""

import argparse
import asyncio

import pytest

from assay_api.errors import Failed, SpecError
from assay_runner.cli.delete import delete, delete_run
from assay_runner.plan.write import as_probed, probed_once
from assay_runner.store.base import StoreUnavailable
from assay_runner.store.file import FileStore
from assay_runner.store.prefixed import Prefixed
from assay_runner.watch.numbers import Numbers
from support.runs import planned, results_bytes, worker


@pytest.fixture
def run(tmp_path):
    gate = {"name": "g", "task": "colours", "metric": "exact_match", "minimum": 0.1}
    run = planned(tmp_path, gates=[gate])
    asyncio.run(worker(run, "pod.a-1", index=0).run())
    results_bytes(run)
    assert run.store.get("gates.json")
    return run


def options(run):
    return argparse.Namespace(run=run)


def test_everything_of_the_run_goes_and_its_neighbours_and_the_data_stay(run, tmp_path, capsys):
    neighbour = planned(tmp_path, run.root, run="r2")
    shared = [key for key in run.root.list("") if key.startswith("data/")]
    others = list(neighbour.store.list(""))
    assert delete(options(run.uri)) == 0
    assert "deleted" in capsys.readouterr().out
    assert list(run.store.list("")) == []
    assert [key for key in run.root.list("") if key.startswith("data/")] == shared and shared
    assert list(neighbour.store.list("")) == others
    assert not (tmp_path / "store" / "default" / "colours" / "r1").exists()


def test_what_killed_writers_left_unfinished_goes_with_the_run(run, tmp_path):
    folder = tmp_path / "store" / "default" / "colours" / "r1"
    (folder / "chunks" / "colours" / "000099").mkdir()
    for place in ("chunks/colours/000099", "chunks/colours/000000", "progress", "."):
        (folder / place / ".tmp-0123").write_bytes(b"half")
    beside = tmp_path / "store" / "data" / ".tmp-0123"
    beside.write_bytes(b"another planner's")
    delete(options(run.uri))
    assert not folder.exists() and beside.exists()


def test_deleting_again_is_fine(run, capsys):
    assert delete(options(run.uri)) == 0
    assert delete(options(run.uri)) == 0
    assert "nothing to delete" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["default", "default/colours", "data", "data/blocks", "", "default/colours/r1/chunks"])
def test_an_address_that_is_no_runs_deletes_nothing(run, part):
    before = list(run.root.list(""))
    with pytest.raises(SpecError, match="this is no run"):
        delete(options(f"{run.root.uri}/{part}".rstrip("/")))
    assert list(run.root.list("")) == before


@pytest.mark.parametrize("name", ["chunks", "progress", ".probe"])
def test_a_job_that_is_named_like_a_part_of_a_run_is_not_taken_for_one(run, name):
    Prefixed(run.root, f"team/{name}/7f0c/").put("plan.json", b"{}")
    with pytest.raises(SpecError, match="this is no run"):
        delete(options(f"{run.root.uri}/team"))


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/a", "s3://bucket/a/b", "x", ""])
def test_an_address_with_too_few_parts_is_refused(uri):
    with pytest.raises(SpecError, match="this is no run"):
        delete(options(uri))


class Interrupted:
    """A run's store that fails after some deletions."""

    def __init__(self, store, deletions):
        self.store, self.left, self.uri = store, deletions, store.uri

    def list(self, prefix, *, recursive=True):
        return self.store.list(prefix, recursive=recursive)

    def delete(self, key):
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("gone")
        self.store.delete(key)

    def sweep(self, prefix):
        self.store.sweep(prefix)


@pytest.mark.parametrize("deletions", [0, 1, 20, 35])
def test_an_interrupted_deletion_keeps_the_plan_and_can_be_repeated(run, deletions):
    with pytest.raises(StoreUnavailable):
        delete_run(Interrupted(run.store, deletions))
    assert "plan.json" in list(run.store.list(""))
    assert delete_run(run.store) > 0
    assert list(run.store.list("")) == []


def test_what_a_worker_writes_meanwhile_is_deleted_too(run):
    class Busy(Interrupted):
        wrote = False

        def delete(self, key):
            super().delete(key)
            if not self.wrote:
                self.wrote = True
                self.store.put("progress/late.json", b"{}")

    delete_run(Busy(run.store, 10**6))
    assert list(run.store.list("")) == []


def test_a_run_that_never_stops_being_written_to_is_given_up(run):
    class Alive(Interrupted):
        def delete(self, key):
            super().delete(key)
            self.store.put("progress/alive.json", b"{}")

    with pytest.raises(Failed, match="still being written to"):
        delete_run(Alive(run.store, 10**6))
    assert "plan.json" in list(run.store.list(""))


def test_what_is_left_of_a_planning_that_failed_is_deleted(run):
    run.store.delete("plan.json")
    assert delete_run(run.store) > 0
    assert list(run.store.list("")) == []


def test_what_a_schedule_has_numbered_goes_too(tmp_path):
    store = Prefixed(FileStore(tmp_path), "research/nightly/uid/")
    numbers = Numbers(as_probed(store, probed_once(store)), "s3://train/run")
    numbers.add("checkpoint-5")
    assert delete(options(store.uri)) == 0
    assert list(store.list("")) == []
