"""A night of faults can be had again, and none of them is left out."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from support.chaos_schedule import Kind, schedule


@given(st.integers(0, 2**32), st.integers(0, 200))
def test_a_seed_gives_the_same_faults_every_time(seed, faults):
    first = schedule(seed, faults)
    assert len(first) == faults and first == schedule(seed, faults)


def test_other_seeds_give_other_orders():
    assert schedule(1, 50) != schedule(2, 50)


def test_every_kind_of_fault_comes_early_and_in_proportion():
    assert set(Kind) == {planned.kind for planned in schedule(7, 33)}
    often = Counter(planned.kind for planned in schedule(7, 330))
    assert often[Kind.WORKER_DELETED] == 60 and often[Kind.NODE_DIES] == 10
