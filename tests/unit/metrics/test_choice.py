import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from assay_runner.metrics import choice


def test_the_likeliest_choice_is_the_one_with_the_highest_log_likelihood():
    assert choice.score([-1.0, -5.0], [1, 1], 0)["acc"] == 1.0
    assert choice.score([-1.0, -5.0], [1, 1], 1)["acc"] == 0.0


def test_acc_norm_divides_by_length():
    items = choice.score([-2.0, -3.0], [2, 10], 1)
    assert (items["acc"], items["acc_norm"]) == (0.0, 1.0)


def test_of_equal_choices_the_first_is_taken():
    assert choice.score([-1.0, -1.0], [1, 1], 0)["acc"] == 1.0
    assert choice.score([-1.0, -1.0], [1, 1], 1)["acc"] == 0.0


def test_several_choices_may_be_right_and_then_there_is_no_brier_score():
    items = choice.score([-1.0, -2.0, -3.0], [1, 1, 1], [1, 0])
    assert items["acc"] == 1.0
    assert "brier_score" not in items


def test_mutual_information_subtracts_what_a_choice_has_without_the_question():
    items = choice.score([-1.0, -2.0], [1, 1], 1, unconditional=[-1.0, -9.0])
    assert (items["acc"], items["acc_mutual_info"]) == (0.0, 1.0)
    assert "acc_mutual_info" not in choice.score([-1.0, -2.0], [1, 1], 1)


@pytest.mark.parametrize(
    ("logprobs", "lengths", "gold", "message"),
    [
        ([], [], 0, "0 choices"),
        ([-1.0], [1, 2], 0, "1 choices have 2 lengths"),
        ([-1.0, -2.0], [3, 0], 0, "choice 1 is empty"),
        ([-1.0, -2.0], [1, 1], 2, "from 0 to 1"),
        ([-1.0, -2.0], [1, 1], -1, "from 0 to 1"),
        ([-1.0, -2.0], [1, 1], [], "from 0 to 1"),
    ],
)
def test_what_cannot_be_scored_is_an_error(logprobs, lengths, gold, message):
    with pytest.raises(ValueError, match=message):
        choice.score(logprobs, lengths, gold)


@given(st.lists(st.floats(-800, 0), min_size=1, max_size=6))
def test_probabilities_are_the_softmax(logprobs):
    assert choice.probabilities(logprobs) == pytest.approx(softmax(logprobs), abs=1e-12)
