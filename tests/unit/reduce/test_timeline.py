"""A run over time is what the chunks' own times give, and a histogram holds every value once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_api.records import ChunkWork
from assay_runner.reduce.timeline import Timekeeper, histogram

SPANS = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e3), st.integers(1, 500)), min_size=1, max_size=30)


def line(chunks):
    time, latencies = Timekeeper(), []
    for finished, seconds, samples in chunks:
        first = len(latencies)
        latencies += [seconds / samples] * samples
        work = ChunkWork(worker="w", finished=1e9 + finished, seconds=seconds)
        time.add(work, samples=samples, errors=1, tokens_out=2 * samples, latencies=range(first, len(latencies)))
    return time.line(latencies)


@given(SPANS)
def test_no_sample_is_lost_or_doubled_by_the_cut_into_intervals(chunks):
    found = line(chunks)
    assert 1 <= len(found.intervals) <= 60
    total = sum(samples for *_, samples in chunks)
    assert sum(one.samples for one in found.intervals) == pytest.approx(total, rel=1e-6)
    assert sum(one.tokens_out for one in found.intervals) == pytest.approx(2 * total, rel=1e-6)
    assert found.start == pytest.approx(min(1e9 + finished - seconds for finished, seconds, _ in chunks), abs=1e-3)


def test_a_chunk_s_samples_lie_in_the_time_it_took_and_its_latencies_where_it_ended():
    found = line([(60.0, 60.0, 60), (120.0, 30.0, 300)])
    assert [one.samples for one in found.intervals[:30]] == pytest.approx([2.0] * 30)
    assert [one.samples for one in found.intervals[30:45]] == pytest.approx([0.0] * 15)
    assert [one.samples for one in found.intervals[45:]] == pytest.approx([20.0] * 15)
    timed = {place: one.latency.p50 for place, one in enumerate(found.intervals) if one.latency}
    assert timed == {30: 1.0, 59: 0.1}


def test_a_run_whose_workers_did_not_all_tell_the_time_has_no_timeline():
    time = Timekeeper()
    time.add(ChunkWork(worker="w", finished=10, seconds=1), samples=1, errors=0, tokens_out=0, latencies=range(0))
    time.add(None, samples=1, errors=0, tokens_out=0, latencies=range(0))
    assert time.line([]) is None and Timekeeper().line([]) is None


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=200))
def test_a_histogram_counts_every_value_once_between_its_least_and_greatest(values):
    found = histogram(values)
    if not any(values):
        assert found is None
        return
    assert sum(found.counts) == len(values) and len(found.edges) == len(found.counts) + 1
    assert found.edges[0] == min(value for value in values if value > 0)
    assert list(found.edges) == sorted(found.edges)
    assert found.edges[-1] in (max(values), math.nextafter(max(values), math.inf))
