"""Whatever the store loses or repeats, and whoever dies, a chunk counts once or the reducer refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay_api.layout import ChunkId
from assay_api.records import Marker, SampleRecord
from assay_runner.records import decode_records
from assay_runner.store.base import StoreUnavailable
from assay_runner.work.commit import Get, Lost, Outcome, Put, commit
from support.simulated import SimulatedStore

PLAN = "a" * 64
CHUNK = ChunkId("task", 3)


def records(worker: int) -> list[SampleRecord]:
    return [
        SampleRecord(id=f"task/{number}/0", document=number, repeat=0, items={"acc": float(worker)})
        for number in (6, 7)
    ]


FAULTS = st.sampled_from(["none", "none", "none", "answer lost", "request lost", "delayed", "crash"])


@settings(max_examples=600)
@given(st.data(), st.integers(1, 4))
def test_any_interleaving_of_commits_losses_and_crashes_leaves_at_most_one_commit_that_everybody_agrees_on(
    data, workers
):
    store = SimulatedStore()
    running = {n: commit(PLAN, CHUNK, f"attempt{n}", records(n)) for n in range(workers)}
    pending = {n: next(steps) for n, steps in running.items()}
    delayed, outcomes = [], {}
    for _ in range(200):
        choices = [("step", n) for n in pending] + [("arrive", i) for i in range(len(delayed))]
        if not choices:
            break
        kind, which = data.draw(st.sampled_from(choices))
        if kind == "arrive":
            store.apply(delayed.pop(which))
            continue
        operation = pending.pop(which)
        fault = data.draw(FAULTS)
        if fault == "crash":
            continue
        if fault == "request lost":
            answer = Lost.UNKNOWN
        elif fault == "delayed" and not isinstance(operation, Get):
            delayed.append(operation)
            answer = Lost.UNKNOWN
        else:
            answer = store.apply(operation)
            answer = Lost.UNKNOWN if fault == "answer lost" else answer
        try:
            pending[which] = running[which].send(answer)
        except StopIteration as end:
            outcomes[which] = end.value
        except StoreUnavailable:
            outcomes[which] = None
    winners = [n for n, outcome in outcomes.items() if outcome is Outcome.COMMITTED]
    assert len(winners) <= 1
    if CHUNK.marker not in store.objects:
        assert not winners and Outcome.DISCARDED not in outcomes.values()
        return
    marker = Marker.decode(store.objects[CHUNK.marker], "marker")
    winner = int(marker.attempt.removeprefix("attempt"))
    assert winners in ([], [winner])
    header, rows = decode_records(store.objects[marker.key], "records")
    assert header.attempt == marker.attempt and rows == records(winner)


def test_one_s_own_marker_behind_a_lost_answer_is_a_success():
    steps = commit(PLAN, CHUNK, "mine", records(0))
    assert isinstance(next(steps), Put)
    put = steps.send(None)
    assert isinstance(steps.send(Lost.UNKNOWN), Get)
    with pytest.raises(StopIteration) as end:
        steps.send(put.data)
    assert end.value.value is Outcome.COMMITTED


def test_the_marker_is_never_written_before_the_data_are():
    steps = commit(PLAN, CHUNK, "mine", records(0))
    operation = next(steps)
    for _ in range(2):
        assert isinstance(operation, Put)
        operation = steps.send(Lost.UNKNOWN)
    with pytest.raises(StoreUnavailable):
        steps.send(Lost.UNKNOWN)
