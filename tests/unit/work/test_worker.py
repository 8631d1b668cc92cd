"""However many workers run, race, pause or stop, the run ends with the same bytes."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from assay_api.errors import Incomplete, Stopped
from assay_runner.backends.base import BackendFailed, ResponseError
from assay_runner.records import decode_records
from assay_runner.work.board import read_progress
from support.runs import AnsweringBackend, planned, results_bytes, worker


@pytest.fixture
def run(tmp_path):
    return planned(tmp_path)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    run = planned(tmp_path_factory.mktemp("undisturbed"))
    asyncio.run(worker(run, index=0).run())
    return results_bytes(run)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_bytes(run, expected, workers):
    async def everybody():
        team = [
            worker(run, f"w{index}", AnsweringBackend(Random(index), delay=0.01), index=index, workers=workers)
            for index in range(workers)
        ]
        await asyncio.gather(*(one.run() for one in team))

    asyncio.run(everybody())
    assert results_bytes(run) == expected


def test_two_workers_under_one_identity_give_the_same_bytes(run, expected):
    async def both():
        await asyncio.gather(
            *(worker(run, "same", AnsweringBackend(Random(n), delay=0.01), index=0).run() for n in (1, 2))
        )

    asyncio.run(both())
    assert results_bytes(run) == expected


def test_a_worker_that_wakes_up_after_everything_is_done_changes_nothing(run, expected):
    async def scene():
        gate = asyncio.Event()
        paused = asyncio.create_task(
            worker(run, "paused", AnsweringBackend(gate=gate), index=0, workers=2, beat=60).run()
        )
        await asyncio.sleep(0.1)
        await asyncio.wait_for(worker(run, "busy", index=1, workers=2).run(), 30)
        before = {key: run.store.get(key) for key in run.store.list("chunks/") if key.endswith(".commit")}
        gate.set()
        await asyncio.wait_for(paused, 30)
        assert before == {key: run.store.get(key) for key in before}

    asyncio.run(scene())
    assert results_bytes(run) == expected


def test_a_run_that_was_stopped_is_resumed_by_another_number_of_workers(run, expected):
    async def first():
        stopped = worker(run, "w0", AnsweringBackend(delay=0.05), index=0)
        going = asyncio.create_task(stopped.run())
        while not any(key.endswith(".commit") for key in run.store.list("chunks/")):
            await asyncio.sleep(0.01)
        stopped.stop()
        with pytest.raises(Stopped):
            await going

    asyncio.run(first())
    with pytest.raises(Incomplete, match=r"chunks with \d+ of 120 samples are not committed"):
        results_bytes(run)

    async def then():
        await asyncio.gather(*(worker(run, f"v{index}", index=index, workers=3).run() for index in range(3)))

    asyncio.run(then())
    assert results_bytes(run) == expected


def test_a_worker_reports_and_logs_once_what_its_backend_waits_for(run):
    async def scene():
        said, gate = [], asyncio.Event()
        backend = AnsweringBackend(gate=gate, trouble="waiting for http://there/v1, silent for 3 s (refused)")
        working = asyncio.create_task(worker(run, "w0", backend, index=0, say=said.append, beat=0.02).run())
        while not any("there" in report.message for report in read_progress(run.store)):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        backend.trouble = ""
        gate.set()
        await working
        return said

    said = asyncio.run(scene())
    assert [line for line in said if "wait" in line or "again" in line] == [
        "waiting for http://there/v1, silent for 3 s (refused)",
        "the backend answers again",
    ]


def test_a_worker_that_joins_on_top_takes_part(run, expected):
    async def scene():
        slow = asyncio.create_task(worker(run, "slow", AnsweringBackend(delay=0.2, capacity=1), index=0).run())
        await asyncio.sleep(0.1)
        joined = AnsweringBackend()
        await worker(run, "late", joined).run()
        await slow
        return joined

    assert asyncio.run(scene()).seen
    assert results_bytes(run) == expected


def test_a_worker_that_finds_nothing_to_do_does_not_start_its_backend(run):
    asyncio.run(worker(run, index=0).run())
    idle = AnsweringBackend()
    asyncio.run(worker(run, "late", idle, index=0).run())
    assert idle.started == 0


def test_batches_never_cross_a_chunk_and_follow_the_plan(run):
    backend = AnsweringBackend()
    asyncio.run(worker(run, backend=backend, index=0).run())
    assert {len(batch) for batch in backend.seen} == {4}
    for batch in backend.seen:
        documents = [int(request.key.split("/")[1]) for request in batch]
        assert documents == sorted(documents) and len({document // 8 for document in documents}) == 1


def test_a_failed_sample_is_a_row_with_its_class_and_never_a_score(run):
    def failing(request):
        return ResponseError("HTTP500", "no luck") if request.key.startswith("colours/9/") else None

    asyncio.run(worker(run, backend=AnsweringBackend(error=failing), index=0).run())
    key = next(iter(key for key in run.store.list("chunks/colours/000001/") if key.endswith("zst")))
    _, records = decode_records(run.store.get(key), key)
    failed = [record for record in records if record.error]
    assert [(record.id, record.error.kind, record.items, record.attempts) for record in failed] == [
        ("colours/9/0", "HTTP500", {}, 4)
    ]


def test_a_backend_that_dies_ends_the_worker_and_commits_nothing_for_open_chunks(run):
    class Dying(AnsweringBackend):
        async def stream(self, batches):
            async for _ in batches:
                raise BackendFailed("The engine is gone.")
            yield None

    with pytest.raises(BackendFailed, match="The engine is gone"):
        asyncio.run(worker(run, backend=Dying(), index=0).run())
    assert not any(key.endswith(".commit") for key in run.store.list("chunks/"))


def test_a_worker_whose_backend_hangs_ends_when_others_have_finished_the_run(run, expected):
    async def scene():
        hung = asyncio.create_task(
            worker(run, "hung", AnsweringBackend(gate=asyncio.Event()), index=0, workers=2).run()
        )
        await asyncio.sleep(0.2)
        await asyncio.wait_for(worker(run, "busy", AnsweringBackend(), index=1, workers=2).run(), 30)
        await asyncio.wait_for(hung, 10)

    asyncio.run(scene())
    assert results_bytes(run) == expected


def test_a_stop_within_the_grace_period_leaves_no_open_chunk_behind(run):
    async def scene():
        stopping = worker(run, "w0", AnsweringBackend(delay=0.05), index=0)
        going = asyncio.create_task(stopping.run())
        while not any(key.endswith(".commit") for key in run.store.list("chunks/")):
            await asyncio.sleep(0.01)
        stopping.stop()
        with pytest.raises(Stopped):
            await going

    asyncio.run(scene())
    data = {key.rsplit("/", 1)[0] for key in run.store.list("chunks/") if key.endswith("zst")}
    markers = {key.removesuffix(".commit") for key in run.store.list("chunks/") if key.endswith(".commit")}
    assert data == markers and markers


def test_a_stop_beyond_the_grace_period_gives_the_chunk_up(run):
    async def scene():
        stuck = worker(run, "w0", AnsweringBackend(gate=asyncio.Event()), index=0, grace=0.1)
        going = asyncio.create_task(stuck.run())
        await asyncio.sleep(0.2)
        stuck.stop()
        with pytest.raises(Stopped):
            await asyncio.wait_for(going, 5)

    asyncio.run(scene())
    assert not any(key.startswith("chunks/") for key in run.store.list("chunks/"))


class Loading(AnsweringBackend):
    """A backend that is loaded in a thread, which nothing can stop."""

    def __init__(self):
        super().__init__()
        self.loaded, self.pool = threading.Event(), ThreadPoolExecutor(1)

    async def start(self):
        await asyncio.get_running_loop().run_in_executor(self.pool, self.loaded.wait)

    async def close(self):
        await asyncio.to_thread(self.pool.shutdown, wait=True)


def test_a_stop_while_the_backend_loads_does_not_wait_for_it(run):
    async def scene():
        backend = Loading()
        loading = worker(run, "w0", backend, index=0)
        going = asyncio.create_task(loading.run())
        while not loading.open:
            await asyncio.sleep(0.01)
        started = asyncio.get_running_loop().time()
        loading.stop()
        with pytest.raises(Stopped, match="0 of 15 chunks"):
            await going
        assert asyncio.get_running_loop().time() - started < 4
        assert loading.abandoned
        backend.loaded.set()

    asyncio.run(scene())


def test_a_stop_before_the_backend_is_opened_opens_none(run):
    async def scene():
        backend = AnsweringBackend()
        stopped = worker(run, "w0", backend, index=0)
        stopped.stop()
        with pytest.raises(Stopped):
            await stopped.run()
        assert backend.started == 0 and not stopped.abandoned

    asyncio.run(scene())


def test_task_code_that_hangs_does_not_hold_up_the_end(run, monkeypatch):
    hanging, seen = threading.Event(), threading.Event()

    def hang(*arguments):
        seen.set()
        hanging.wait(30)
        return []

    monkeypatch.setattr("assay_runner.work.stage.Stage.build", hang)

    async def scene():
        stuck = worker(run, "w0", AnsweringBackend(), index=0, grace=0.2)
        going = asyncio.create_task(stuck.run())
        await asyncio.to_thread(seen.wait, 20)
        stuck.stop()
        with pytest.raises(Stopped):
            await asyncio.wait_for(going, 10)
        assert stuck.abandoned, "the process must not wait for the thread at its end"
        hanging.set()

    asyncio.run(scene())


def test_a_backend_that_does_not_end_when_told_to_is_left_behind(run, expected, monkeypatch):
    monkeypatch.setattr("assay_runner.work.worker._CLOSING", 0.2)

    class Clinging(AnsweringBackend):
        async def close(self):
            await asyncio.Event().wait()

    async def scene():
        clinging = worker(run, "w0", Clinging(), index=0)
        await asyncio.wait_for(clinging.run(), 20)
        assert clinging.abandoned

    asyncio.run(scene())
    assert results_bytes(run) == expected
