"""Scanning processes change no result, and one that dies is a clear failure."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from assay_api.base import sha256
from assay_api.errors import Corrupt, Failed
from assay_api.layout import ChunkId
from assay_api.records import Marker, RecordsHeader, SampleRecord
from assay_runner.backends.base import ResponseError
from assay_runner.frames import compress
from assay_runner.records import encode_records, read_samples
from assay_runner.reduce import scanners
from assay_runner.reduce.chunk_tally import Lines
from assay_runner.reduce.scan import Expected, scan
from assay_runner.reduce.scanners import Scanners, scanners_for
from assay_runner.reduce.verify import Chosen, read_markers, verified_chunks
from support.runs import TASK, AnsweringBackend, planned, results_bytes, worker, write_task

MEANS = TASK.replace("  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", "").replace(
    "process_results: !function utils.score\n", ""
)


def late(request):
    return (
        ResponseError("Timeout", "late")
        if request.key.startswith(("colours/8/", "colours/9/", "colours/57/"))
        else None
    )


@pytest.fixture
def run(tmp_path):
    write_task(tmp_path / "tasks", documents=60, task=MEANS)
    run = planned(tmp_path, errorPolicy={"maxErrorRate": 1.0})
    asyncio.run(worker(run, backend=AnsweringBackend(error=late), index=0).run())
    return run


def chunks(run, scanners=None, **options):
    return list(
        verified_chunks(run.store, run.plan, read_markers(run.store, run.plan).items(), scanners=scanners, **options)
    )


def test_processes_give_what_one_process_gives(run):
    with Scanners(2) as two:
        assert chunks(run, two) == chunks(run)


def test_a_reduction_with_processes_writes_the_same_bytes(run):
    alone = results_bytes(run), run.store.get("samples.jsonl.zst"), run.store.get("run.json")
    with Scanners(2) as two:
        assert (
            results_bytes(run, scanners=two),
            run.store.get("samples.jsonl.zst"),
            run.store.get("run.json"),
        ) == alone


def test_what_is_wrong_is_said_in_the_same_words(run):
    chunk = ChunkId("colours", 5)
    marker = Marker.decode(run.store.get(chunk.marker), "marker")
    run.store.put(marker.key, run.store.get(marker.key)[:-1])
    with pytest.raises(Corrupt) as alone:
        chunks(run)
    with Scanners(2) as two, pytest.raises(Corrupt) as together:
        chunks(run, two)
    assert str(together.value) == str(alone.value)


def test_chosen_and_failed_samples_bring_their_lines(run):
    with Scanners(1) as one:
        found = chunks(
            run, one, chosen=Chosen(lambda task, places: [place for place in places if place % 25 == 3], errors=1)
        )
    lines = [line for chunk in found for line in chunk.tally.lines.values()]
    rows = list(read_samples(io.BytesIO(b"".join(chunk.rows for chunk in found))))
    # Of the two failed samples of the second chunk only the first.
    assert [json.loads(line) for line in lines] == [rows[place] for place in (3, 8, 28, 53, 57)]


FILE = Expected("t", 0, 1, 1, "0" * 64, 0, Lines()), b""


def test_a_process_that_is_killed_ends_the_reduction_with_a_sentence():
    with Scanners(1) as one:
        assert list(one.scan([FILE])) == [None]
        os.kill(one.pids[0], signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(Failed, match=r"killed \(SIGKILL, as the system does when memory runs out"):
                list(one.scan([FILE]))


def test_a_process_that_is_killed_while_it_is_waited_for_is_noticed():
    with Scanners(2) as two:
        os.kill(two.pids[0], signal.SIGSTOP)
        killing = threading.Timer(0.2, os.kill, (two.pids[0], signal.SIGKILL))
        killing.start()
        with pytest.raises(Failed, match="SIGKILL"):
            list(two.scan([FILE] * 20))
        killing.join()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_files_and_findings_that_are_larger_than_a_pipe_do_not_make_both_sides_wait(size):
    files = []
    for number in range(12):
        record = SampleRecord(id=f"t/{number}/0", document=number, repeat=0, prompt=[{"text": random_text(size)}])
        header = RecordsHeader(plan="0" * 64, task="t", chunk=number, attempt="a")
        data = encode_records(header, [record])
        files.append((Expected("t", number, number + 1, 1, sha256(data), 0, Lines([0])), data))
    with Scanners(2) as two:
        found = list(two.scan(files))
    assert [len(one.tally.lines[0]) > size for one in found] == [True] * 12


@pytest.mark.timeout(60)
def test_a_process_that_the_system_does_not_run_holds_up_neither_the_others_nor_too_much_memory():
    data = random_text(20_000).encode()
    taken = []

    def files():
        for number in range(400):
            taken.append(number)
            yield Expected("t", number, number + 1, 1, "0" * 64, 0, Lines()), data

    with Scanners(2) as two:
        os.kill(two.pids[0], signal.SIGSTOP)
        resuming = threading.Timer(2, os.kill, (two.pids[0], signal.SIGCONT))
        resuming.start()
        found = two.scan(files())
        first = next(found)
        resuming.join()
        # A few with the process that stood still, and through the other one as many as may be held: 4 MiB.
        assert 200 <= len(taken) <= 211
        assert [first, *found] == [None] * 400


def test_a_number_that_is_not_looked_at_where_answers_are_not_compared_leaves_the_scan_unsure_where_they_are():
    line = b'{"document":0,"filtered":{"none":1e999},"id":"t/0/%d","items":{"m":1.0},"repeat":%d}\n'
    for repeats, sure in ((1, True), (2, False)):
        text = b"".join(line % (repeat, repeat) for repeat in range(repeats))
        data = compress(b"{}") + compress(text)
        assert (scan(Expected("t", 0, 1, repeats, sha256(data), 0, Lines()), data) is not None) == sure


def random_text(size: int) -> str:
    return Random(size).randbytes(size // 2).hex()


def test_a_process_that_cannot_start_is_a_failure_with_its_exit_code(monkeypatch):
    monkeypatch.setattr(scanners, "_COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])
    with Scanners(1) as one, pytest.raises(Failed, match="ended with exit code 3"):
        list(one.scan([FILE]))


def test_processes_end_with_the_context_and_with_a_reducer_that_is_killed():
    with Scanners(2) as two:
        pids = two.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    script = (
        "import os, signal\n"
        "from assay_runner.reduce.scanners import Scanners\n"
        "with Scanners(1) as one: print(one.pids[0], flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid = int(done.stdout)
    for _ in range(200):
        if not _runs(pid):
            break
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_scanning_process_gets_no_credentials(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with Scanners(1) as one:
        assert list(one.scan([FILE])) == [None]
        assert b"AWS_" not in Path(f"/proc/{one.pids[0]}/environ").read_bytes()


@pytest.mark.parametrize(
    ("samples", "cores", "count"), [(1000, 8, 0), (1_000_000, 1, 0), (1_000_000, 2, 2), (1_000_000, 64, 4)]
)
def test_small_runs_and_single_cores_get_no_processes(samples, cores, count):
    assert scanners_for(samples, cores) == count


def test_a_scanning_process_imports_neither_the_vocabulary_s_models_nor_a_store():
    script = "import sys, assay_runner.reduce.scanner; print([name for name in sys.modules if name in {names!r}])"
    names = {"pydantic", "numpy", "boto3", "assay_runner.store"}
    done = subprocess.run(
        [sys.executable, "-c", script.format(names=names)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
