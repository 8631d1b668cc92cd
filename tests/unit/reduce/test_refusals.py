"""The reducer refuses whatever is not exactly what was planned, names it, and writes no results."""

import asyncio
import json
from pathlib import Path

import pytest

from assay_api.base import canonical, sha256
from assay_api.errors import AssayError, Corrupt, Incomplete, SpecError, TooManyErrors
from assay_api.layout import ChunkId
from assay_api.records import Marker, SampleRecord
from assay_runner.backends.base import ResponseError
from assay_runner.records import decode_records, encode_records
from assay_runner.reduce import verify
from assay_runner.tasks.bundle import make_bundle
from support.runs import UTILS, AnsweringBackend, planned, results_bytes, worker, write_task

CHUNK = ChunkId("colours", 2)
fetch = verify._fetch


@pytest.fixture
def run(tmp_path):
    run = planned(tmp_path)
    asyncio.run(worker(run, index=0).run())
    return run


def marker(run, chunk=CHUNK):
    return Marker.decode(run.store.get(chunk.marker), "marker")


def remove(run, key):
    Path(run.store.location(key)).unlink()


def rewrite(run, change):
    """Change the records of a chunk and make marker and digest agree with them again."""
    old = marker(run)
    header, records = decode_records(run.store.get(old.key), "records")
    data = encode_records(header, change(list(records)))
    run.store.put(old.key, data)
    rows = decode_records(data, "records")[1]
    errors = sum(row.error is not None for row in rows)
    run.store.put(
        CHUNK.marker, old.model_copy(update={"sha256": sha256(data), "n": len(rows), "errors": errors}).encode()
    )


def with_marker(run, **changes):
    run.store.put(CHUNK.marker, marker(run).model_copy(update=changes).encode())


def deleted_marker(run):
    remove(run, CHUNK.marker)


def emptied_marker(run):
    run.store.put(CHUNK.marker, b"")


def swapped_markers(run):
    other = ChunkId("colours", 3)
    one, two = run.store.get(CHUNK.marker), run.store.get(other.marker)
    run.store.put(CHUNK.marker, two)
    run.store.put(other.marker, one)


def edited_plan(run):
    plan = json.loads(run.store.get("plan.json"))
    plan["seed"] = 7
    run.store.put("plan.json", canonical(plan) + b"\n")


def reformatted_plan(run):
    run.store.put("plan.json", json.dumps(json.loads(run.store.get("plan.json")), indent=1).encode())


def truncated_plan(run):
    run.store.put("plan.json", run.store.get("plan.json")[:-50])


def marker_that_promises_more(run):
    with_marker(run, n=9)


def marker_that_hides_errors(run):
    with_marker(run, errors=1)


def marker_that_points_elsewhere(run):
    with_marker(run, key=marker(run, ChunkId("colours", 3)).key)


def marker_of_another_plan(run):
    with_marker(run, plan="b" * 64)


def marker_nobody_planned(run):
    run.store.put("chunks/colours/000099.commit", run.store.get(CHUNK.marker))


def flipped_byte(run):
    key = marker(run).key
    data = bytearray(run.store.get(key))
    data[len(data) // 2] ^= 1
    run.store.put(key, bytes(data))


def truncated_records(run):
    key = marker(run).key
    run.store.put(key, run.store.get(key)[:-20])


def deleted_records(run):
    remove(run, marker(run).key)


def doubled_sample(run):
    rewrite(run, lambda records: [*records[:-1], records[0]])


def missing_sample(run):
    rewrite(run, lambda records: records[:-1])


def foreign_sample(run):
    foreign = SampleRecord(id="colours/500/0", document=500, repeat=0, items={"exact_match": 1.0})
    rewrite(run, lambda records: [*records[:-1], foreign])


def reordered_samples(run):
    rewrite(run, lambda records: records[::-1])


def sample_with_error_and_score(run):
    def change(records):
        row = records[0].model_dump()
        return [SampleRecord.model_validate(row | {"error": {"kind": "Timeout", "message": "late"}}), *records[1:]]

    rewrite(run, change)


def records_of_another_attempt(run):
    old = marker(run)
    header, records = decode_records(run.store.get(old.key), "records")
    data = encode_records(header.model_copy(update={"attempt": "other"}), records)
    run.store.put(old.key, data)
    with_marker(run, sha256=sha256(data))


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (deleted_marker, Incomplete, ["1 of 15 chunks", "colours/000002", "colours/16/0", "colours/23/0"]),
        (emptied_marker, Corrupt, ["000002.commit", "not a valid Marker"]),
        (swapped_markers, Corrupt, ["marker of chunk colours/000003, not of colours/000002"]),
        (edited_plan, Corrupt, ["was committed under plan"]),
        (reformatted_plan, Corrupt, ["plan.json", "not as the planner wrote it"]),
        (truncated_plan, Corrupt, ["plan.json", "not a valid Plan"]),
        (marker_that_promises_more, Corrupt, ["promises 9 records with 0 errors", "8 records with 0 errors"]),
        (marker_that_hides_errors, Corrupt, ["promises 8 records with 1 errors"]),
        (marker_that_points_elsewhere, Corrupt, ["points at chunks/colours/000003"]),
        (marker_of_another_plan, Corrupt, ["committed under plan bbbbbbbbbbbb"]),
        (marker_nobody_planned, Corrupt, ["000099.commit", "chunk that the plan does not have"]),
        (flipped_byte, Corrupt, ["SHA-256", "was committed with"]),
        (truncated_records, Corrupt, ["SHA-256"]),
        (deleted_records, Corrupt, ["is gone"]),
        (doubled_sample, Corrupt, ["doubled: colours/16/0", "missing: colours/23/0"]),
        (missing_sample, Corrupt, ["missing: colours/23/0"]),
        (foreign_sample, Corrupt, ["foreign: colours/500/0"]),
        (reordered_samples, Corrupt, ["order differs"]),
        (sample_with_error_and_score, Corrupt, ["colours/16/0", "both an error and a score"]),
        (records_of_another_attempt, Corrupt, ["header", "another plan, chunk or attempt"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_refused_by_name_and_no_results_are_written(run, damage, error, words):
    damage(run)
    with pytest.raises(AssayError) as raised:
        results_bytes(run)
    assert type(raised.value) is error and raised.value.exit_code == 1
    for word in words:
        assert word in str(raised.value), str(raised.value)
    assert "results.json" not in list(run.store.list("", recursive=False))


def test_missing_chunks_are_named_before_most_records_are_read(run, monkeypatch):
    monkeypatch.setattr(verify, "_MARKERS_PER_FILE", 4)
    read = []
    monkeypatch.setattr(
        verify, "_fetch", lambda store, plan, chunk, *rest: read.append(chunk) or fetch(store, plan, chunk, *rest)
    )
    for index in (9, 14):
        remove(run, ChunkId("colours", index).marker)
    with pytest.raises(Incomplete, match=r"2 of 15 chunks .*colours/000009.*colours/000014"):
        results_bytes(run)
    assert [chunk.index for chunk in read] == [0, 1]


def test_results_that_were_edited_are_not_confirmed(run):
    results_bytes(run)
    run.store.put("results.json", run.store.get("results.json").replace(b"exact_match", b"exactly_match"))
    with pytest.raises(Corrupt, match=r"results\.json exists and differs"):
        results_bytes(run)


def test_reducing_twice_gives_the_same_bytes(run):
    assert results_bytes(run) == results_bytes(run)


def test_a_run_of_another_version_is_refused_as_wrong(run):
    plan = json.loads(run.store.get("plan.json"))
    plan["assay_version"] = "9.9"
    run.store.put("plan.json", canonical(plan) + b"\n")
    with pytest.raises(SpecError, match=r"planned by Assay 9\.9"):
        results_bytes(run)


def test_a_changed_task_file_is_refused_as_wrong(run):
    code = run.plan.tasks[0].code
    other, bundle = make_bundle(write_task(run.scratch / "other", utils=UTILS + "\n"))
    assert other != code
    run.root.put(f"data/code/{code.fingerprint}.json.zst", bundle)
    with pytest.raises(SpecError, match="the task files are not those that were planned"):
        results_bytes(run)


def failing(share):
    def error(request):
        return ResponseError("Timeout", "late") if int(request.key.split("/")[1]) < share else None

    return AnsweringBackend(error=error)


def test_more_errors_than_tolerated_fail_the_job_and_keep_the_records(tmp_path):
    run = planned(tmp_path, errorPolicy={"maxErrorRate": 0.05})
    asyncio.run(worker(run, backend=failing(7), index=0).run())
    with pytest.raises(TooManyErrors, match=r"7 of 120 samples failed \(Timeout 7\)"):
        results_bytes(run)
    assert {"samples.jsonl.zst", "run.json"} <= set(run.store.list("", recursive=False))
    assert "results.json" not in list(run.store.list("", recursive=False))


def test_tolerated_errors_are_counted_apart_and_never_scored(tmp_path):
    run = planned(tmp_path, errorPolicy={"maxErrorRate": 0.05})
    asyncio.run(worker(run, backend=failing(6), index=0).run())
    results = json.loads(results_bytes(run))
    assert results["coverage"] == {"samples": 120, "scored": 114, "errors": 6, "chunks": 15}
    assert results["tasks"][0]["errors"] == {"Timeout": 6}
    assert {metric["n"] for metric in results["tasks"][0]["metrics"]} == {114}
