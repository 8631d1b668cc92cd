"""What a worker serves to Prometheus and to the operator is true of the whole run, by a real scrape."""

import asyncio
import contextlib
import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assay_api import exposition as names
from assay_api.errors import Failed
from assay_api.layout import progress
from assay_api.records import Progress
from assay_runner.backends.base import ResponseError
from assay_runner.work.exposition import serving
from support.runs import AnsweringBackend, planned, worker
from support.s3 import free_port


@pytest.fixture
def run(tmp_path):
    return planned(tmp_path)


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended_peer(run, **numbers):
    report = Progress(worker="other", session="s", index=1, beat=9, state="stopped", **numbers)
    run.store.put(progress("other"), report.encode())


def test_a_finished_worker_tells_of_the_whole_run_and_of_itself(run):
    def failing(request):
        return ResponseError("HTTP500", "no luck") if request.key.startswith("colours/9/") else None

    told = {"error_classes": {"HTTP500": 1, "Timeout": 2}, "retries": 6, "accelerator_seconds": 40.0}
    ended_peer(run, errors=3, tokens_in=50, tokens_out=7, rate=99.0, **told)
    one, port = worker(run, "w", AnsweringBackend(error=failing), index=0), free_port()
    with serving(one, port):
        before = scrape(port)
        asyncio.run(one.run())
        after = scrape(port)
    assert before[(names.SAMPLES,)] == after[(names.SAMPLES,)] == 120
    assert before[(names.CHUNKS,)] == after[(names.CHUNKS,)] == 15
    assert (before[(names.SAMPLES_COMMITTED,)], after[(names.SAMPLES_COMMITTED,)]) == (0, 120)
    assert (before[(names.CHUNKS_COMMITTED,)], after[(names.CHUNKS_COMMITTED,)]) == (0, 15)
    assert after[(names.ERRORS,)] == 4
    assert after[("assay_worker_errors_total", "HTTP500")] == 1
    assert (after[(names.ERRORS_BY_CLASS, "HTTP500")], after[(names.ERRORS_BY_CLASS, "Timeout")]) == (2, 2)
    assert after[(names.RETRIES,)] == 6 + after[("assay_worker_retries_total",)] == 6 + 3
    assert after[(names.ACCELERATOR_SECONDS,)] == 40, "this worker holds none"
    assert after[("assay_worker_samples_total",)] == 120
    assert after[("assay_worker_chunks_total", "committed")] == 15
    assert after[("assay_worker_chunks_total", "discarded")] == 0
    assert after[(names.TOKENS_IN,)] == 50 + after[("assay_worker_tokens_total", "in")]
    assert after[(names.TOKENS_OUT,)] == 7 + after[("assay_worker_tokens_total", "out")] == 7 + 119
    assert after[(names.SAMPLES_PER_SECOND,)] == 0
    assert after[("assay_worker_open_chunks",)] == after[("assay_worker_in_flight",)] == 0
    assert after[("assay_worker_accelerators",)] == after[("assay_worker_backend_away",)] == 0
    assert {after[("assay_worker_queue_depth", stage)] for stage in ("ask", "score", "commit")} == {0}
    assert after[("assay_worker_request_seconds_count",)] == 119, "one was refused"
    assert (before[("assay_worker_state", "starting")], after[("assay_worker_state", "done")]) == (1, 1)
    assert sum(value for key, value in after.items() if key[0] == "assay_worker_state") == 1
    assert after[("assay_worker_commit_seconds_count",)] == 15
    assert after[("assay_worker_commit_seconds_bucket", "+Inf")] == 15
    assert after[("assay_worker_commit_seconds_sum",)] > 0


async def until(port, condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition(found := await asyncio.to_thread(scrape, port)):
            await asyncio.sleep(0.02)
    return found


def test_a_worker_that_is_busy_with_its_own_share_sees_what_others_commit(run):
    async def scene():
        busy = worker(run, "busy", AnsweringBackend(gate=asyncio.Event()), index=0, workers=2, grace=0.1)
        port = free_port()
        with serving(busy, port):
            going = asyncio.create_task(busy.run())
            await until(port, lambda found: found[("assay_worker_state", "working")] == 1)
            other = worker(run, "other", AnsweringBackend(delay=0.2), index=1, workers=2)
            helping = asyncio.create_task(other.run())
            found = await until(port, lambda found: found[(names.CHUNKS_COMMITTED,)] > 0)
            assert found[("assay_worker_chunks_total", "committed")] == 0
            await until(port, lambda found: found[(names.SAMPLES_PER_SECOND,)] > 0)
            other.stop()
            busy.stop()
            await asyncio.gather(going, helping, return_exceptions=True)

    asyncio.run(scene())


def test_a_worker_sees_what_others_commit_while_its_backend_still_starts(run):
    class Slow(AnsweringBackend):
        async def start(self):
            await asyncio.Event().wait()

    async def scene():
        slow, port = worker(run, "slow", Slow(), index=0, workers=2), free_port()
        with serving(slow, port):
            going = asyncio.create_task(slow.run())
            await until(port, lambda found: found[("assay_worker_open_chunks",)] == 1)
            await worker(run, "fast", index=1, workers=2).run()
            # The run is over without it, so it ends although its backend never did start.
            await asyncio.wait_for(going, 5)
            assert scrape(port)[(names.CHUNKS_COMMITTED,)] == 15

    asyncio.run(scene())


def test_a_worker_shows_what_the_backend_has_and_what_waits_for_it(run):
    async def scene():
        backend = AnsweringBackend(gate=asyncio.Event(), capacity=2)
        one, port = worker(run, "w", backend, index=0, grace=0.1), free_port()
        with serving(one, port):
            going = asyncio.create_task(one.run())
            found = await until(port, lambda found: found[("assay_worker_queue_depth", "ask")] > 0)
            assert 0 < found[("assay_worker_in_flight",)] <= 3 * 4, "two batches of four, and one in its hand"
            assert found[("assay_worker_samples_total",)] == 0
            backend.gate.set()
            await going
            after = await asyncio.to_thread(scrape, port)
        assert after[("assay_worker_samples_total",)] == 120
        assert after[("assay_worker_in_flight",)] == after[("assay_worker_queue_depth", "ask")] == 0

    asyncio.run(scene())


def test_a_worker_says_when_its_backend_is_away(run):
    async def scene():
        backend = AnsweringBackend(gate=asyncio.Event(), trouble="waiting for it")
        one, port = worker(run, "w", backend, index=0, grace=0.1), free_port()
        with serving(one, port):
            going = asyncio.create_task(one.run())
            await until(port, lambda found: found[("assay_worker_backend_away",)] == 1)
            one.stop()
            await asyncio.gather(going, return_exceptions=True)

    asyncio.run(scene())


def test_a_worker_with_nothing_to_take_says_that_it_waits(run):
    async def scene():
        gate = asyncio.Event()
        holding = [
            worker(run, f"h{n}", AnsweringBackend(gate=gate, capacity=100), index=n, workers=15) for n in range(15)
        ]
        holders = [asyncio.create_task(one.run()) for one in holding]
        while {one.state for one in holding} != {"working"}:
            await asyncio.sleep(0.02)
        idle, port = worker(run, "idle"), free_port()
        with serving(idle, port):
            going = asyncio.create_task(idle.run())
            found = await until(port, lambda found: found[("assay_worker_state", "waiting")] == 1)
            assert found[(names.CHUNKS,)] == 15
            gate.set()
            await asyncio.gather(going, *holders)

    with contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(scene(), 30))
        return
    pytest.fail("it did not end")


def test_a_port_that_is_taken_is_named(run):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Failed, match=f"port {port}"), serving(worker(run), port):
            pass
