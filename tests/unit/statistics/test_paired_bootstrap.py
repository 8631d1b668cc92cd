"""Differences of corpus metrics: the same documents are drawn for both, and what cannot be resampled is said."""

import itertools

import numpy as np
import pytest

from assay_runner.statistics import aggregations, paired
from assay_runner.statistics.items import AggregationError
from assay_runner.statistics.paired_bootstrap import resampled_difference

COUNT = itertools.count()


def edits(n, seed=0):
    generator = np.random.default_rng(seed)
    words = generator.integers(5, 25, n)
    return [
        [{"edits": int(e), "words": int(w)} for e, w in zip(generator.binomial(words, rate), words, strict=True)]
        for rate in (0.3, 0.1)
    ]


def compare(a, b, aggregation, clusters=None, seed=1, resamples=1000):
    return resampled_difference(a, b, aggregation, clusters, seed, resamples, metric="m")


def test_of_a_mean_it_finds_nearly_what_the_formula_gives():
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=(2, 80)).tolist()
    clusters = [str(i // 3) for i in range(80)]
    mean = aggregations.custom("m", lambda items: sum(items) / len(items))
    for names in (None, clusters):
        found, formula = compare(a, b, mean, names).difference, paired.difference(a, b, names)
        assert found.difference == pytest.approx(formula.difference, abs=1e-12) and found.degrees == formula.degrees
        assert found.stderr == pytest.approx(formula.stderr, rel=0.06)


def test_word_error_rates_are_compared_on_the_same_draws():
    a, b = edits(60)
    found = compare(a, b, aggregations.get("wer"))
    value_a, value_b = (sum(i["edits"] for i in side) / sum(i["words"] for i in side) for side in (a, b))
    assert (found.value_a, found.value_b) == pytest.approx((value_a, value_b), abs=1e-12)
    assert found.difference.method == "bootstrap" and found.problem is None and found.difference.degrees == 59
    assert found.difference.p_value < 0.001 and found.difference.ci_high < 0
    again, turned = compare(a, b, aggregations.get("wer")), compare(b, a, aggregations.get("wer"))
    assert again == found and turned.difference.p_value == found.difference.p_value
    assert turned.difference.difference == -found.difference.difference
    shifted = [item | {"edits": item["edits"] + item["words"]} for item in a]
    assert compare(a, shifted, aggregations.get("wer")).problem == "all resamples differ by the same"


def test_equal_items_differ_by_nothing():
    a, _ = edits(10)
    assert compare(a, a, aggregations.get("wer")).difference.method == "identical"


def test_questions_of_acc_all_are_drawn_whole():
    items = [
        [[right ^ (i == 3), {"idx": {"paragraph": 0, "question": i // 3}, "label": 1}] for i, right in enumerate(side)]
        for side in ([1] * 12, [1, 1, 0] * 4)
    ]
    found = compare(*items, aggregations.get("acc_all")).difference
    assert found.method == "cluster-bootstrap" and found.clusters == 4 and found.degrees == 3


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda items: {"x": 1.0, "y": 2.0}, "several numbers"),
        (lambda items: None, "no value"),
        (lambda items: float(next(COUNT)), "another value when called again"),
        (lambda items: 1.0 / (len(set(items)) == 20) + sum(items), "cannot be resampled: its function raised"),
    ],
)
def test_what_cannot_be_resampled_is_said_and_the_plain_difference_given(function, problem):
    found = compare(list(range(20)), list(range(20, 40)), aggregations.custom("m", function))
    assert problem in found.problem and found.difference.p_value is None and found.difference.ci_low is None
    if isinstance(found.value_a, float):
        assert found.difference.difference == found.value_b - found.value_a


def test_an_item_of_the_wrong_kind_names_the_metric():
    with pytest.raises(AggregationError, match=r"Metric m cannot be aggregated: item 0 is 'x'"):
        compare(["x"], ["x"], aggregations.get("wer"))
