"""Large objects go up in parts to a real server: whole or not at all, whatever answers are lost, and nothing is left behind."""

import random
import tracemalloc

import pytest

from assay_runner.store import s3, s3_multipart
from assay_runner.store.base import StoreDenied, StoreUnavailable
from support.faulty_s3 import QUICK, Fault

PART = 5 << 20
"""The least that a server takes as a part that is not the last."""
DATA = random.Random(0).randbytes(2 * PART + 12345)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(s3, "WHOLE", PART)
    monkeypatch.setattr(s3_multipart, "_PART", PART)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def unfinished(s3_server, bucket):
    """Uploads that are neither completed nor aborted."""
    client = s3_server.client()
    return lambda: client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def operations(faulty):
    return [(request.method, request.path.partition("?")[2].partition("=")[0]) for request in faulty.requests]


def test_a_large_file_goes_up_in_parts_and_replaces_what_was_there(
    store, store_behind_faults, faulty, source, unfinished
):
    store.put("large", b"before")
    store_behind_faults.put_file("large", source)
    assert store.get("large") == DATA
    assert sorted(operations(faulty)) == [("POST", "uploadId"), ("POST", "uploads")] + [("PUT", "uploadId")] * 3
    assert not unfinished()


def test_memory_holds_parts_and_not_the_file(store, tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(20 * PART)
    tracemalloc.start()
    try:
        store.put_file("large", path)
        assert tracemalloc.get_traced_memory()[1] < 11 * PART
    finally:
        tracemalloc.stop()


def test_of_large_creations_the_first_counts(store, unfinished):
    assert store.put_if_absent("once", DATA) is True
    assert store.put_if_absent("once", DATA[::-1]) is False
    assert store.get("once") == DATA and not unfinished()


def test_a_creation_that_comes_second_only_at_the_end_writes_nothing(store, store_behind_faults, faulty, unfinished):
    def overtaken(request):
        if request.method == "POST" and "uploadId" in request.path:
            store.put_if_absent("once", b"rival")

    faulty.script = overtaken
    assert store_behind_faults.put_if_absent("once", DATA) is False
    assert store.get("once") == b"rival" and not unfinished()


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.SILENCE_AFTER, Fault.PRECONDITION_AFTER])
def test_a_completion_whose_answer_is_lost_counts(store, store_behind_faults, faulty, source, unfinished, fault):
    def lose_it(request):
        if request.method == "POST" and "uploadId" in request.path:
            faulty.plan()
            return fault
        return None

    store.put("replaced", DATA[::-1])
    faulty.script = lose_it
    store_behind_faults.put_file("replaced", source)
    faulty.script = lose_it
    assert store_behind_faults.put_if_absent("created", DATA) is True
    assert store.get("replaced") == store.get("created") == DATA and not unfinished()


def test_a_large_write_that_fails_is_aborted_and_changes_nothing(
    store, store_behind_faults, faulty, source, unfinished
):
    store.put("large", b"before")
    faulty.script = lambda request: Fault.ERROR_BEFORE if "partNumber=2" in request.path else None
    with pytest.raises(StoreUnavailable, match=r"large could not be written at .*: it answered 500 .* \(10 tries in"):
        store_behind_faults.put_file("large", source)
    assert store.get("large") == b"before" and not unfinished()


def test_a_file_that_shrinks_meanwhile_is_refused(store, store_behind_faults, faulty, source, unfinished):
    def shrink(request):
        if "uploads" in request.path:
            source.write_bytes(DATA[:PART])

    faulty.script = shrink
    with pytest.raises(StoreDenied, match="source became shorter while it was written"):
        store_behind_faults.put_file("large", source)
    assert not unfinished()


def test_a_sweep_aborts_what_killed_writers_left_and_only_below_its_folder(store, s3_server, bucket, unfinished):
    client = s3_server.client()
    for key in ("runs/a/1", "runs/a/2", "runs/b/1"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    store.sweep("a/")
    assert [upload["Key"] for upload in unfinished()] == ["runs/b/1"]


def test_random_faults_leave_large_objects_whole_and_nothing_behind(
    store, store_behind_faults, faulty, source, unfinished
):
    chance = random.Random(5)
    faulty.script = lambda request: chance.choice(QUICK) if chance.random() < 0.25 else None
    for number in range(8):
        store_behind_faults.put_file(f"file/{number}", source)
        assert store_behind_faults.put_if_absent(f"once/{number}", DATA) in (True, False)
        assert store.get(f"file/{number}") == store.get(f"once/{number}") == DATA
    faulty.plan()
    store.sweep("")
    assert not unfinished()
