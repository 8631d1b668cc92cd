import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.statistics import repeats
from assay_runner.statistics.estimate import of_numbers
from assay_runner.statistics.items import AggregationError


def test_the_average_is_first_over_repeats_and_then_over_documents():
    found = repeats.average([[1, 0], [1, 1], [0, 0]], 2)
    assert (found.name, found.left_out) == ("avg@2", 0)
    assert found.estimate == of_numbers([0.5, 1.0, 0.0])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k_repeats_with_a_right_one(marks, data):
    k = data.draw(st.integers(1, len(marks)))
    chosen = list(itertools.combinations(marks, k))
    assert repeats.pass_at([marks], k).estimate.value == pytest.approx(sum(map(any, chosen)) / len(chosen), abs=1e-12)


def test_pass_at_one_is_the_average():
    documents = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]
    found, average = repeats.pass_at(documents, 1).estimate, repeats.average(documents, 4).estimate
    assert (found.value, found.stderr) == (average.value, average.stderr)
    assert (found.ci_low, found.ci_high) == (max(0.0, average.ci_low), min(1.0, average.ci_high))
    assert average.ci_low < 0


def test_a_document_with_too_few_good_repeats_is_left_out_and_counted_with_its_cluster():
    found = repeats.pass_at([[1, 0, 0], [1], [0, 0, 1], [0, 0, 0]], 3, ["a", "b", "c", "c"])
    assert (found.left_out, found.estimate.n, found.estimate.clusters) == (1, 3, 2)
    assert found.estimate.value == pytest.approx(2 / 3)


def test_no_document_with_enough_repeats_has_no_value():
    found = repeats.average([[1], []], 2)
    assert (found.left_out, found.estimate.value, found.estimate.n) == (2, None, 0)


def test_the_most_frequent_answer_counts():
    found = repeats.majority_at([[("B", 0), ("A", 1), ("A", 1)]], 3)
    assert (found.name, found.estimate.value) == ("majority@3", 1.0)


def test_of_equally_frequent_answers_the_one_that_came_first_counts():
    assert repeats.majority_at([[("B", 0), ("A", 1), ("A", 1), ("B", 0)]], 4).estimate.value == 0.0
    assert repeats.majority_at([[("A", 1), ("B", 0), ("B", 0), ("A", 1)]], 4).estimate.value == 1.0


def test_only_the_first_k_repeats_vote():
    assert repeats.majority_at([[("B", 0), ("B", 0), ("A", 1), ("A", 1), ("A", 1)]], 3).estimate.value == 0.0


def test_answers_may_be_any_json():
    votes = [({"x": 1, "y": 2}, 0), (["a"], 1), ({"y": 2, "x": 1}, 0), (None, 1)]
    assert repeats.majority_at([votes], 4).estimate.value == 0.0


@pytest.mark.parametrize(("count", "expected"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_pass_at_k_is_given_for_powers_of_two_and_all_repeats(count, expected):
    assert repeats.steps(count) == expected


def test_repeats_that_are_neither_right_nor_wrong_are_an_error_for_pass_at_k():
    with pytest.raises(AggregationError, match="pass@2"):
        repeats.pass_at([[0.5, 1]], 2)
    with pytest.raises(AggregationError, match="avg@1"):
        repeats.average([["yes"]], 1)


def test_no_repeats_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        repeats.average([[1]], 0)
