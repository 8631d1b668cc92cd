"""What a person is told while a run goes on is right and readable."""

from dataclasses import replace

import pytest
from rich.console import Console

from assay_api.layout import ChunkId, progress
from assay_api.records import Progress
from assay_runner.cli.progress import Snapshot, Watch, describe, render
from assay_runner.duration import duration
from assay_runner.store.file import FileStore
from support.runs import planned


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_a_duration_is_said_in_two_units_at_most(seconds, text):
    assert duration(seconds) == text


def test_a_line_says_how_far_how_fast_and_how_long_still():
    worker = Progress(worker="local-0", session="s", index=0, beat=1, state="working", open=("t/000001",))
    snapshot = Snapshot(done=250, total=1000, chunks=2, chunks_total=8, errors=3, rate=50.0, workers=(worker,))
    assert describe(snapshot) == "250/1,000 samples (25 %)  2/8 chunks  50/s  1 worker  3 errors  15 s left"
    waits = worker.model_copy(update={"message": "waiting for http://there/v1, silent for 12 s (refused)"})
    still = replace(snapshot, workers=(waits, waits))
    assert describe(still).endswith("  2 workers  3 errors  waiting for http://there/v1, silent for 12 s (refused)")
    console = Console(width=120, record=True)
    console.print(render(snapshot))
    assert "t/000001" in console.export_text()


def test_progress_counts_committed_chunks_once_and_open_samples_of_live_workers(tmp_path):
    run = planned(tmp_path)
    time = [0.0]
    watch = Watch(run.store, run.plan, lambda: time[0])
    assert watch.look().done == 0
    run.store.put(ChunkId("colours", 0).marker, b"anything")
    for name, state, pending in (("a", "working", 5), ("b", "stopped", 7)):
        report = Progress(worker=name, session=name, index=0, beat=1, state=state, pending=pending)
        run.store.put(progress(name), report.encode())
    time[0] = 2.0
    snapshot = watch.look()
    assert (snapshot.done, snapshot.chunks, snapshot.rate) == (13, 1, 6.5)
    assert snapshot.eta == pytest.approx(107 / 6.5)


def test_nothing_is_known_of_a_run_without_workers(tmp_path):
    run = planned(tmp_path)
    assert isinstance(run.root, FileStore)
    assert Watch(run.store, run.plan).look().eta is None
