"""What a worker believes of the others rests on change seen by its own clock."""

import pytest

from assay_api.layout import ChunkId, progress
from assay_api.plan import DataPin, ModelPlan, Plan, TaskPlan
from assay_api.records import Progress
from assay_runner.store.file import FileStore
from assay_runner.work.board import Board


@pytest.fixture
def plan():
    return Plan(
        assay_version="0",
        job="j",
        model=ModelPlan(backend="openai", name="m"),
        tasks=(
            TaskPlan(
                name="t",
                config={},
                data=DataPin(fingerprint="f", documents=6, source="s"),
                repeats=1,
                boundaries=(0, 2, 4, 6),
            ),
        ),
        seed=0,
        batch_size=1,
        determinism="exact",
    )


def report(store, beat, *, session="s1", state="working", open=("t/000001",)):
    store.put(
        progress("other"),
        Progress(worker="other", session=session, index=1, beat=beat, state=state, open=open).encode(),
    )


@pytest.fixture
def time():
    return [0.0]


@pytest.fixture
def board(tmp_path, plan, time):
    return Board(FileStore(tmp_path), plan, session="me", clock=lambda: time[0], silence=10)


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path)


def test_a_peer_is_live_while_its_report_changes_and_not_after(board, store, time):
    report(store, 1)
    board.refresh()
    assert board.peers[0].live
    time[0] = 11
    board.refresh()
    assert not board.peers[0].live
    report(store, 2)
    board.refresh()
    assert board.peers[0].live


def test_a_peer_that_says_it_stopped_is_not_live(board, store):
    report(store, 1, state="stopped")
    board.refresh()
    assert not board.peers[0].live


def test_how_long_a_chunk_is_held_is_counted_from_when_it_was_first_seen(board, store, time):
    report(store, 1)
    board.refresh()
    time[0] = 4
    report(store, 2, open=("t/000001", "t/000002"))
    board.refresh()
    assert board.peers[0].held == {ChunkId("t", 1): 4.0, ChunkId("t", 2): 0.0}


def test_one_s_own_report_and_unreadable_ones_are_passed_over(board, store):
    report(store, 1, session="me")
    store.put(progress("broken"), b"{")
    board.refresh()
    assert board.peers == ()


def test_a_report_that_names_no_chunk_does_no_harm(board, store):
    report(store, 1, open=("nonsense", "t/xx", "other/000009"))
    board.refresh()
    assert ChunkId("t", 1) not in board.peers[0].held


def test_markers_of_planned_chunks_count_and_other_objects_do_not(board, store):
    for key in ("chunks/t/000001.commit", "chunks/t/000009.commit", "chunks/t/000002/abc.jsonl.zst"):
        store.put(key, b"x")
    board.refresh()
    assert board.committed == {ChunkId("t", 1)}
