"""Goodput and accelerator-seconds are pooled over a run's workers by wall-clock."""

import asyncio
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_api import layout
from assay_api.records import ChunkWork
from assay_api.results import RunReport
from assay_runner.backends.base import ResponseError
from assay_runner.gates.judge import judge_run
from assay_runner.plan.write import committing_store
from assay_runner.records import read_samples
from assay_runner.reduce.efficiency import Efficiency
from assay_runner.reduce.reducer import reduce_run
from support.runs import AnsweringBackend, planned, worker


def work(worker, finished, seconds, accelerators=0):
    return ChunkWork(worker=worker, finished=finished, seconds=seconds, accelerators=accelerators)


def collected(*works):
    found = Efficiency()
    for one in works:
        found.add(one, samples=10, tokens=40)
    return found


def test_workers_beside_each_other_are_pooled_over_the_time_of_the_run():
    found = collected(work("a", 110, 10), work("a", 120, 15), work("b", 120, 10))
    assert found.goodput().seconds == 20
    assert (found.goodput().samples, found.goodput().tokens_out) == (1.5, 6)


def test_each_worker_holds_its_accelerators_from_its_first_work_to_its_last():
    found = collected(work("a", 110, 10, 4), work("a", 130, 5, 4), work("b", 120, 10, 1), work("c", 500, 9))
    assert found.accelerator_seconds() == 30 * 4 + 10


@pytest.mark.parametrize("works", [(), (None,), (work("a", 110, 10), None), (work("a", 110, 0),)])
def test_what_no_time_is_known_of_has_no_rate(works):
    assert collected(*works).goodput() is None


@given(st.permutations([work("a", 110, 10, 2), work("b", 111, 3, 1), work("a", 140, 5, 2), work("b", 100, 1, 1)]))
def test_the_order_of_chunks_changes_nothing(works):
    found = collected(*works)
    assert (found.goodput().seconds, found.accelerator_seconds()) == (41, 40 * 2 + 12)


class Costly(AnsweringBackend):
    """Says what each of its answers cost."""

    def _response(self, request):
        found = super()._response(request)
        return found if found.error else replace(found, latency=0.0, decoding=0.5, encoding=0.25, tokens_reasoning=1)


def test_what_samples_cost_is_in_their_records_and_in_the_run_s_account_and_in_no_result(tmp_path):
    run = planned(tmp_path)
    failing = Costly(error=lambda request: ResponseError("E", "no") if request.key.startswith("colours/9/") else None)
    asyncio.run(worker(run, "w", failing, index=0).run())
    _, probed = committing_store(run.store)
    results = reduce_run(run.root, run.store, probed, judge_run, max_error_rate=1).encode()
    told = RunReport.decode(run.store.get(layout.RUN), "run.json")
    assert (told.samples, told.errors, told.tokens_out, told.tokens_reasoning) == (120, 1, 119, 119)
    assert (told.stages.decoding, told.stages.encoding, told.accelerator_seconds) == (119 / 2, 119 / 4, 0)
    assert told.goodput.samples == told.goodput.tokens_out == pytest.approx(119 / told.goodput.seconds)
    usages = [row.get("usage", {}) for row in read_samples(io.BytesIO(run.store.get(layout.SAMPLES)))]
    assert sum("queue" in usage for usage in usages) == 119
    assert all("scoring" in usage for usage in usages)
    assert not any(word in results for word in (b"goodput", b"decoding", b"accelerator", b"reasoning"))
