"""Every outcome is a sentence that a person can act on, and the verdict allows for how much was tested."""

import pytest

from assay_runner.compare.rows import Row
from assay_runner.compare.verdict import judge
from assay_runner.statistics import paired
from assay_runner.statistics.paired import Difference

CLEAR = Difference(9673, None, 0.5, 0.512, 0.012, 0.004, 9672, 0.004, 0.02, 0.0027, "paired-t")
FAINT = Difference(9673, None, 0.5, 0.503, 0.003, 0.004, 9672, -0.005, 0.011, 0.46, "paired-t")


def row(found, metric="exact_match", *, higher=True, unit=True, **fields):
    return Row(metric, "none", higher, found.value_a, found.value_b, found, unit=unit, **fields)


def said(*rows, headline=True):
    return [one.sentence for one in judge([(one, "easy_vqa", headline) for one in rows])]


def turned(found):
    return Difference(
        found.n,
        found.clusters,
        found.value_b,
        found.value_a,
        -found.difference,
        found.stderr,
        found.degrees,
        -found.ci_high,
        -found.ci_low,
        found.p_value,
        found.method,
    )


def test_a_difference_that_is_told_names_the_better_run():
    assert said(row(CLEAR)) == [
        "B is better on easy_vqa exact_match by 1.2 points (95 % CI 0.4 to 2.0, p = 0.003, 9,673 questions)."
    ]
    assert said(row(turned(CLEAR))) == [
        "A is better on easy_vqa exact_match by 1.2 points (95 % CI 0.4 to 2.0, p = 0.003, 9,673 questions)."
    ]


def test_where_lower_is_better_the_lower_run_is_better():
    found = judge([(row(CLEAR, "wer", higher=False, unit=False, counts=paired.Counts(9, 4, 1)), "asr", True)])[0]
    assert found.verdict == "worse" and (found.wins, found.losses, found.ties) == (4, 9, 1)
    assert found.sentence == (
        "A is better on asr wer by 0.012 (95 % CI 0.004 to 0.02, p = 0.003, 9,673 questions), lower being better."
    )


def test_a_difference_that_cannot_be_told_says_what_could_be_and_what_it_would_take():
    assert said(row(FAINT)) == [
        "No difference can be told on easy_vqa exact_match: B − A = 0.3 points (95 % CI −0.5 to 1.1, p = 0.46, 9,673 "
        "questions); with these questions only differences of 1.1 points or more would be found in four of five tries; "
        "about 140,000 questions would be needed for the difference seen."
    ]


def test_several_headlines_are_allowed_for():
    first, second, third = judge([(row(one), "t", True) for one in (CLEAR, FAINT, FAINT)])
    assert first.p_adjusted == pytest.approx(3 * 0.0027) and first.verdict == "better"
    assert "p = 0.008 after Holm's correction for 3 comparisons" in first.sentence
    assert second.p_adjusted == third.p_adjusted == pytest.approx(0.92)
    many = [(row(CLEAR), "t", True)] + [(row(FAINT), "t", True)] * 30
    found = judge(many)[0]
    assert found.verdict == "undecided" and found.p_value < 0.05 < found.p_adjusted
    assert found.sentence.startswith("No difference can be told on t exact_match once 31 comparisons are allowed for: ")


def test_rows_that_are_no_headlines_do_not_weaken_headlines():
    found = judge([(row(CLEAR), "t", True)] + [(row(FAINT), "t", False)] * 30)
    assert found[0].p_adjusted == CLEAR.p_value and found[1].p_adjusted == 1.0


def test_runs_that_agree_are_said_to():
    found = paired.difference([1.0, 0.0], [1.0, 0.0])
    assert said(row(found)) == [
        "A and B score the same on every one of the 2 questions of easy_vqa exact_match: the difference is 0."
    ]


def test_what_has_no_error_is_said_with_its_reason():
    found = paired.difference([0.0], [1.0])
    judged = judge([(row(found, note="one question, or one cluster, has no spread"), "easy_vqa", True)])[0]
    assert judged.verdict == "unknown" and judged.p_adjusted is None
    assert judged.sentence == (
        "B − A = 100.0 points on easy_vqa exact_match (1 question); whether that is more than chance cannot be said: "
        "one question, or one cluster, has no spread."
    )
    nothing = row(Difference(0, None, None, None, None), note="no question has a score in both runs")
    assert said(nothing) == [
        "A and B cannot be compared on easy_vqa exact_match: no question has a score in both runs."
    ]


def test_a_difference_without_spread_is_told_by_its_sign():
    found = paired.difference([0.0] * 8, [0.5] * 8)
    assert said(row(found)) == [
        "B is better on easy_vqa exact_match by 50.0 points (every question, or cluster of them, says the same, "
        "p = 0.008, 8 questions)."
    ]


def test_missing_scores_are_bounded_and_may_turn_a_verdict():
    safe, shaky = said(row(CLEAR, left_out=12, bounds=(0.009, 0.014)), row(CLEAR, left_out=300, bounds=(-0.02, 0.04)))
    assert safe.endswith(
        ". 12 questions without a score in both runs are left out: whatever they would have scored, B − A over all "
        "questions lies between 0.9 and 1.4 points."
    )
    assert shaky.endswith("lies between −2.0 and 4.0 points, so the failures could turn the verdict.")
    assert said(row(CLEAR, left_out=1))[0].endswith(
        "1 question without a score in both runs is left out, which may bias the difference."
    )


def test_an_aggregation_of_several_numbers_has_a_difference_of_each():
    nothing = Difference(5, None, None, None, None)
    several = Row("m", "none", True, {"x": 1.0, "y": None}, {"x": 3.0, "y": 2.0}, nothing, note="several numbers")
    assert judge([(several, "t", True)])[0].difference == {"x": 2.0, "y": None}


@pytest.mark.parametrize(
    ("difference", "shown"),
    [(0.0004, "0.04 points"), (0.01, "1.0 point"), (0.00999, "1.0 point"), (-0.25, "−25.0 points")],
)
def test_points_are_hundredths_with_enough_digits(difference, shown):
    found = Difference(10, None, 0.0, difference, difference, None, None, None, None, None)
    assert f"B − A = {shown} on" in said(row(found))[0]
