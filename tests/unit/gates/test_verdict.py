"""One gate, one score, one verdict: by the interval, in words that a person can act on."""

import pytest

from assay_api.plan import GatePlan
from assay_api.results import MetricResult
from assay_runner.compare.rows import Row
from assay_runner.gates.verdict import against_baseline, against_bound, tell
from assay_runner.statistics import paired


def gate(**fields):
    defaults = {"name": "g", "task": "t", "metric": "acc", "filter": "none", "higher_is_better": True}
    return GatePlan(**(defaults | fields))


def score(value, low, high, **fields):
    return MetricResult(**({"metric": "acc", "n": 100, "method": "t"} | fields), value=value, ci_low=low, ci_high=high)


def row(a, b, clusters=None, *, higher=True, **fields):
    found = paired.difference(a, b, clusters)
    return Row("acc", "none", higher, found.value_a, found.value_b, found, **({"unit": True} | fields))


@pytest.mark.parametrize(
    ("low", "high", "tolerated", "verdict"),
    [
        (-0.01, 0.03, 0.02, "passed"),
        (-0.02, 0.03, 0.02, "cannot tell"),
        (-0.03, 0.0, 0.02, "cannot tell"),
        (-0.03, -0.001, 0.02, "failed"),
        # Worse for certain, and not by as much as matters.
        (-0.015, -0.001, 0.02, "passed"),
        (0.0, 0.1, None, "passed"),
        (-0.001, 0.1, None, "cannot tell"),
        (-0.2, 0.0, None, "cannot tell"),
        (-0.2, -0.001, None, "failed"),
    ],
)
def test_the_ends_of_the_interval_decide(low, high, tolerated, verdict):
    assert tell(low, high, tolerated=tolerated) == verdict


def test_a_score_passes_its_minimum_when_its_whole_interval_does():
    found = against_bound(gate(minimum=0.7), score(0.8, 0.72, 0.88, stderr=0.04, clusters=20))
    assert (found.verdict, found.value, found.reference, found.n, found.clusters) == ("passed", 0.8, 0.7, 100, 20)
    assert (found.difference, found.ci_low, found.ci_high) == pytest.approx((0.1, 0.02, 0.18))
    assert found.detectable == pytest.approx(paired.minimum_detectable(0.04, 19)) and found.needed is None
    assert found.message == "t acc is at least 0.7: 0.8000 (95 % CI 0.7200 to 0.8800, 100 questions in 20 clusters)."


def test_a_score_below_its_minimum_by_its_whole_interval_fails():
    found = against_bound(gate(minimum=0.9), score(0.8, 0.72, 0.88))
    assert found.verdict == "failed" and found.message.startswith("t acc is below 0.9: 0.8000 (95 % CI ")


def test_between_them_it_says_how_many_questions_would_tell():
    found = against_bound(gate(minimum=0.78), score(0.8, 0.72, 0.88))
    # The lower end lies 0.08 below the score; it has to come within 0.02: sixteen times the questions.
    assert (found.verdict, found.needed) == ("cannot tell", 1600)
    assert found.message == (
        "Whether t acc is at least 0.78 cannot be told: 0.8000 (95 % CI 0.7200 to 0.8800, 100 questions); about 1,600 "
        "questions (1,500 more) would tell if the score stays."
    )
    above = against_bound(gate(minimum=0.84), score(0.8, 0.72, 0.88))
    assert (above.verdict, above.needed) == ("cannot tell", pytest.approx(400, abs=1))
    on_it = against_bound(gate(minimum=0.8), score(0.8, 0.72, 0.88))
    assert on_it.needed is None and "no number of questions settles" in on_it.message


def test_a_maximum_is_for_scores_of_which_lower_is_better():
    asked = gate(maximum=0.2, higher_is_better=False)
    assert against_bound(asked, score(0.1, 0.05, 0.15)).verdict == "passed"
    failed = against_bound(asked, score(0.3, 0.25, 0.35))
    assert failed.verdict == "failed" and failed.message.startswith("t acc is above 0.2: 0.3000")
    untold = against_bound(asked, score(0.22, 0.18, 0.26))
    assert (untold.verdict, untold.needed) == ("cannot tell", pytest.approx(400, abs=1))
    assert "is at most 0.2" in untold.message


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "t acc cannot be judged: the results have no such score."),
        (score(0.8, None, None), "t acc cannot be judged: the score has no interval."),
        (score({"f1": 0.8}, None, None), "t acc cannot be judged: the score has no interval."),
        (score(None, None, None, n=0), "t acc cannot be judged: no question has a score."),
    ],
)
def test_a_score_without_an_interval_is_never_judged_by_its_number(found, why):
    told = against_bound(gate(minimum=0.1), found)
    assert (told.verdict, told.message, told.reference) == ("cannot tell", why, 0.1)


def test_the_verdict_on_a_difference_holds_the_figures_it_stands_on():
    a, b = [1.0] * 50 + [0.0] * 50, [0.0] * 10 + [1.0] * 40 + [0.0] * 50
    found = against_baseline(gate(smallest_difference=0.02), row(a, b), ("A note.",))
    seen = paired.difference(a, b)
    assert (found.verdict, found.value, found.reference, found.difference) == ("failed", 0.4, 0.5, -0.1)
    assert (found.ci_low, found.ci_high, found.p_value, found.n) == (seen.ci_low, seen.ci_high, seen.p_value, 100)
    assert found.detectable == paired.minimum_detectable(seen.stderr, seen.degrees)
    assert (found.method, found.notes, found.smallest_difference) == ("paired-t", ("A note.",), 0.02)
    assert found.message == (
        "t acc is worse than the baseline by 2.0 points or more: −10.0 points (95 % CI −16.0 to −4.0, p = 0.001, "
        "100 questions)."
    )


def test_a_drop_that_may_be_smaller_than_what_matters_is_no_certain_one():
    a, b = [1.0] * 50 + [0.0] * 50, [0.0] * 6 + [1.0] * 44 + [0.0] * 50
    found = against_baseline(gate(smallest_difference=0.05), row(a, b))
    assert found.verdict == "failed"
    assert found.message.startswith("t acc is worse than the baseline, perhaps by 5.0 points or more: −6.0 points")


def test_what_cannot_be_told_says_what_would_tell():
    a, b = [1.0] * 50 + [0.0] * 50, [0.0] * 6 + [1.0] * 44 + [1.0] * 4 + [0.0] * 46
    found = against_baseline(gate(smallest_difference=0.05), row(a, b, [str(i // 5) for i in range(100)]))
    width = found.ci_high - found.ci_low
    assert found.verdict == "cannot tell" and found.needed == paired.documents_needed(100, width, 0.05) > 100
    assert "Whether t acc is worse than the baseline by 5.0 points or more cannot be told: −2.0 points" in found.message
    assert "100 questions in 20 clusters); about " in found.message
    assert f"would tell, or a smallestDifference above {width:.2g}." in found.message


def test_models_that_score_the_same_pass_and_models_that_all_questions_agree_on_are_told_without_an_interval():
    same = against_baseline(gate(smallest_difference=0.01), row([1.0, 0.0], [1.0, 0.0]))
    assert (same.verdict, same.method) == ("passed", "identical")
    worse = against_baseline(gate(smallest_difference=0.01), row([1.0] * 8, [0.0] * 8))
    assert (worse.verdict, worse.method) == ("failed", "sign") and "says the same" in worse.message
    few = against_baseline(gate(smallest_difference=0.01), row([1.0] * 3, [0.0] * 3))
    assert few.verdict == "cannot tell" and few.difference == -1.0 and "too few questions" in few.message


def test_a_difference_without_an_error_is_never_judged_by_its_number():
    one = row([1.0], [0.0], note="one question, or one cluster, has no spread")
    found = against_baseline(gate(smallest_difference=0.01), one)
    assert found.verdict == "cannot tell" and found.difference == -1.0
    assert found.message == "t acc cannot be judged: one question, or one cluster, has no spread."


def test_a_pass_that_failed_samples_could_turn_says_so():
    a = b = [1.0, 0.0] * 50
    found = against_baseline(gate(smallest_difference=0.02), row(a, b, left_out=5, bounds=(-0.05, 0.05)))
    assert found.verdict == "passed" and found.left_out == 5
    assert found.message.endswith(
        "; 5 questions without a score in both runs are left out, whose scores could turn the verdict."
    )
    safe = against_baseline(gate(smallest_difference=0.1), row(a, b, left_out=1, bounds=(-0.05, 0.05)))
    assert safe.message.endswith("; 1 question without a score in both runs is left out.")
