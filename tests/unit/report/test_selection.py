"""A report's samples: within its limits whatever a run holds, the same every time, evenly drawn, failed ones first."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from assay_runner.report.selection import Selection, fair_shares

SIZES = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 400), min_size=1)


def select(sizes, failed=lambda task, place: False, *, seed=0, samples=100, size=1 << 20, row=10):
    selection = Selection(sizes, seed, samples=samples, size=size)
    for task, count in sizes.items():
        for place in range(count):
            fell = failed(task, place)
            if selection.wants(task, place, failed=fell):
                selection.keep(task, place, b"x" * row, fell, failed=fell)
    names = list(sizes)
    return [(names[kept.task], kept.place, kept.about) for kept in selection.kept()]


@given(SIZES, st.integers(1, 300), st.integers(10, 3000), st.floats(0, 1))
def test_limits_hold_and_everything_is_shown_when_it_fits(sizes, samples, size, share):
    def failed(task, place):
        return place % 10 < 10 * share

    found = select(sizes, failed, samples=samples, size=size)
    assert len(found) <= samples and 10 * len(found) <= size
    assert found == select(sizes, failed, samples=samples, size=size)
    order = list(sizes)
    assert found == sorted(found, key=lambda one: (order.index(one[0]), one[1]))
    total = sum(sizes.values())
    if total <= samples and 10 * total <= size:
        assert len(found) == total


def test_another_seed_is_another_draw():
    assert select({"a": 1000}, seed=1) != select({"a": 1000}, seed=2)


def test_small_tasks_are_shown_whole_and_large_ones_share_the_rest_evenly():
    assert fair_shares({"big": 5000, "small": 10, "large": 900}, 310) == {"small": 10, "large": 150, "big": 150}
    found = Counter(task for task, *_ in select({"big": 5000, "small": 10, "large": 900}, samples=310))
    assert found["small"] == 10 and abs(found["big"] - 150) < 40 and abs(found["large"] - 150) < 40


def test_the_draw_reaches_evenly_over_a_task():
    places = [place for _, place, _ in select({"a": 100_000}, samples=2000)]
    by_tenth = Counter(place // 10_000 for place in places)
    assert all(140 < by_tenth[tenth] < 260 for tenth in range(10))


def test_failed_samples_come_first_and_leave_half_of_the_room():
    few = select({"a": 5000}, lambda task, place: place % 500 == 0)
    assert sum(failed for *_, failed in few) == 10 and len(few) == 100
    many = select({"a": 5000}, lambda task, place: place % 2 == 0)
    assert sum(failed for *_, failed in many) == 50 and len(many) == 100
    only = select({"a": 5000}, lambda task, place: True)
    assert len(only) == 100
    heavy = select({"a": 5000}, lambda task, place: place % 2 == 0, samples=10_000, size=1000)
    assert sum(failed for *_, failed in heavy) == 50 and len(heavy) == 100
