"""A worker does its own share first, then helps the slowest from the far end, and never waits for the dead."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_api.layout import ChunkId
from assay_runner.work.assignment import Peer, Situation, Turn, choose, share

CHUNKS = tuple(ChunkId("t", n) for n in range(12))


def situation(**changes):
    base = {"chunks": CHUNKS, "committed": set(), "open": (), "index": 0, "workers": 3, "peers": (), "durations": ()}
    return Situation(**(base | changes))


def take(**changes):
    return choose(situation(**changes), Random(0))


@given(st.integers(1, 200), st.integers(1, 40))
def test_the_shares_are_a_partition_in_order_and_differ_by_at_most_one(count, workers):
    chunks = tuple(ChunkId("t", n) for n in range(count))
    shares = [share(chunks, index, workers) for index in range(workers)]
    assert tuple(chunk for part in shares for chunk in part) == chunks
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_worker_takes_its_own_share_in_order():
    assert take(index=1) == CHUNKS[4]
    assert take(index=1, committed={CHUNKS[4]}, open=(CHUNKS[5],)) == CHUNKS[6]


def test_with_its_share_done_it_takes_the_far_end_of_the_slowest():
    fast = Peer(index=1, live=True, rate=4.0, held={CHUNKS[4]: 1.0})
    slow = Peer(index=2, live=True, rate=0.1, held={CHUNKS[8]: 1.0})
    assert take(committed=set(CHUNKS[:4]), peers=(fast, slow)) == CHUNKS[11]


def test_chunks_under_a_live_worker_are_left_to_it_and_those_of_a_silent_one_are_not():
    held = {CHUNKS[11]: 3.0}
    committed = set(CHUNKS[:11])
    assert take(committed=committed, peers=(Peer(2, True, 1.0, held),), durations=(2.0,)) is Turn.WAIT
    assert take(committed=committed, peers=(Peer(2, False, 1.0, held),), durations=(2.0,)) == CHUNKS[11]


def test_a_chunk_held_for_more_than_twice_the_median_is_done_again():
    held = {CHUNKS[11]: 4.1}
    assert take(committed=set(CHUNKS[:11]), peers=(Peer(2, True, 0.5, held),), durations=(2.0, 2.0)) == CHUNKS[11]


def test_a_chunk_held_for_less_than_reports_can_tell_is_left_alone():
    held = {CHUNKS[11]: 2.9}
    assert take(committed=set(CHUNKS[:11]), peers=(Peer(2, True, 5.0, held),), durations=(0.2, 0.2)) is Turn.WAIT


def test_a_chunk_of_a_holder_that_is_slow_throughout_is_done_again_when_that_is_sooner():
    peers = (Peer(1, True, 0.25, {}), Peer(2, True, 0.05, {CHUNKS[11]: 1.0}))
    assert take(committed=set(CHUNKS[:11]), peers=peers, durations=(4.0,), rate=0.25) == CHUNKS[11]
    soon = (Peer(1, True, 0.25, {}), Peer(2, True, 0.05, {CHUNKS[11]: 7.9}))
    assert take(committed=set(CHUNKS[:11]), peers=soon, durations=(4.0,), rate=0.05) is Turn.WAIT


@pytest.mark.parametrize(("left", "taken"), [(12, True), (10, True), (9, False), (1, False)])
def test_a_slow_worker_leaves_the_last_chunks_to_those_who_do_them_all_before_it_does_one(left, taken):
    peers = tuple(Peer(index, True, 1.0, {}) for index in (1, 2, 3))
    turn = take(committed=set(CHUNKS[: 12 - left]), workers=4, peers=peers, durations=(4.0,), rate=0.25)
    assert (turn is not Turn.WAIT) == taken


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(1, 12))
def test_whatever_the_rates_somebody_takes_a_free_chunk(rates, left):
    turns = [
        take(
            index=index,
            workers=len(rates),
            committed=set(CHUNKS[: 12 - left]),
            rate=rate,
            peers=tuple(Peer(other, True, each, {}) for other, each in enumerate(rates) if other != index),
        )
        for index, rate in enumerate(rates)
    ]
    assert any(turn in CHUNKS for turn in turns)


def test_a_chunk_that_hangs_is_taken_over_even_when_nobody_knows_how_long_one_takes():
    peers = (Peer(2, True, 0.0, {CHUNKS[11]: 599.0}),)
    assert take(committed=set(CHUNKS[:11]), peers=peers) is Turn.WAIT
    peers = (Peer(2, True, 0.0, {CHUNKS[11]: 601.0}),)
    assert take(committed=set(CHUNKS[:11]), peers=peers) == CHUNKS[11]


def test_a_worker_never_takes_its_own_open_chunk_again():
    assert take(committed=set(CHUNKS[:11]), open=(CHUNKS[11],)) is Turn.WAIT


def test_a_worker_that_joins_on_top_has_no_share_and_helps_at_once():
    peers = tuple(Peer(n, True, 1.0, {CHUNKS[4 * n]: 0.0}) for n in range(3))
    chosen = take(index=None, peers=peers)
    assert chosen in CHUNKS and chosen not in {CHUNKS[0], CHUNKS[4], CHUNKS[8]}


@given(st.data())
def test_whoever_dies_some_worker_that_is_left_always_finishes_every_chunk(data):
    committed = data.draw(st.sets(st.sampled_from(CHUNKS)))
    held = data.draw(st.dictionaries(st.sampled_from(CHUNKS), st.floats(0, 100)))
    turn = take(
        index=data.draw(st.sampled_from([None, 0, 1, 2])), committed=committed, peers=(Peer(1, False, 0.0, held),)
    )
    assert (turn is Turn.FINISHED) == (committed == set(CHUNKS))
    assert turn is Turn.FINISHED or (turn in CHUNKS and turn not in committed)
