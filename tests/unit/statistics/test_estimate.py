import math

import numpy as np
import pytest

from assay_runner.statistics import aggregations, bootstrap
from assay_runner.statistics.estimate import Estimate, estimate
from assay_runner.statistics.items import AggregationError

MEAN = aggregations.get("mean")
WER = aggregations.get("wer")
_ERRORS = [{"edits": i * 7 % 5, "words": i % 9 + 3} for i in range(60)]


def test_zeros_and_ones_get_wilsons_interval():
    found = estimate([1, 1, 0, 1], MEAN, None, 0)
    assert (found.value, found.method, found.n, found.clusters) == (0.75, "wilson", 4, None)
    assert found.stderr == pytest.approx(0.25)


def test_other_numbers_get_the_t_interval():
    assert estimate([1, 0.5, 0], MEAN, None, 0).method == "t"


def test_clusters_widen_the_interval_of_documents_that_agree():
    items = [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    alone = estimate(items, MEAN, None, 0)
    clustered = estimate(items, MEAN, list("aaabbbcccddd"), 0)
    assert (clustered.method, clustered.clusters, clustered.n) == ("clustered-t", 4, 12)
    assert clustered.stderr > 1.5 * alone.stderr
    assert 0 <= clustered.ci_low < clustered.ci_high <= 1


def test_clusters_of_one_document_each_are_independent_documents():
    items = [1, 0, 1, 1]
    found, alone = estimate(items, MEAN, list("abcd"), 0), estimate(items, MEAN, None, 0)
    assert found == Estimate(alone.value, alone.stderr, alone.ci_low, alone.ci_high, "wilson", 4, 4)


NOTHING = (None, None, None, "none")


@pytest.mark.parametrize(
    ("items", "clusters", "expected"),
    [
        ([], None, Estimate(None, *NOTHING, 0, None)),
        ([], [], Estimate(None, *NOTHING, 0, 0)),
        ([0.5], None, Estimate(0.5, *NOTHING, 1, None)),
        ([0.5, 0.7], ["a", "a"], Estimate(0.6, *NOTHING, 2, 1)),
        ([1, 0], ["a", "a"], Estimate(0.5, *NOTHING, 2, 1)),
        ([1, 1], ["a", "a"], Estimate(1.0, *NOTHING, 2, 1)),
        ([0.5, 0.5], None, Estimate(0.5, 0.0, None, None, "none", 2, None)),
        ([0.5, 0.5, 0.5], ["a", "a", "b"], Estimate(0.5, 0.0, None, None, "none", 3, 2)),
        ([0, 1, 0, 1], ["a", "a", "b", "b"], Estimate(0.5, 0.0, None, None, "none", 4, 2)),
    ],
)
def test_what_cannot_be_said_of_a_mean_is_none(items, clusters, expected):
    assert estimate(items, MEAN, clusters, 0) == expected


def test_one_right_answer_has_wilsons_interval_but_no_standard_error():
    found = estimate([True], MEAN, None, 0)
    assert (found.value, found.stderr, found.ci_high, found.method) == (1.0, None, 1.0, "wilson")
    assert found.ci_low == pytest.approx(0.20654931, abs=1e-8)


def test_all_right_has_an_interval_that_counts_clusters_as_trials():
    alone = estimate([1] * 20, MEAN, None, 0)
    clustered = estimate([1] * 20, MEAN, [str(i // 4) for i in range(20)], 0)
    five = estimate([1] * 5, MEAN, None, 0)
    assert (alone.stderr, alone.ci_high, clustered.ci_high) == (0.0, 1.0, 1.0)
    assert (clustered.ci_low, clustered.method) == (five.ci_low, "wilson")
    assert clustered.ci_low < alone.ci_low < 1


def test_missing_items_of_nanmean_take_their_clusters_along():
    found = estimate([None, 1.0, 0.2, 0.4], aggregations.get("nanmean"), list("abbc"), 0)
    assert (found.n, found.clusters) == (3, 2)
    assert found == estimate([1.0, 0.2, 0.4], MEAN, list("bbc"), 0)


def test_an_item_of_the_wrong_type_is_an_error_that_names_the_metric():
    with pytest.raises(AggregationError, match="Metric acc cannot be aggregated: item 1 is 'yes'") as caught:
        estimate([1, "yes"], MEAN, None, 0, metric="acc")
    assert caught.value.exit_code == 64
    with pytest.raises(AggregationError, match="Metric median cannot be aggregated: item 0 is"):
        estimate([{"score": 1}], aggregations.get("median"), None, 0)


def test_a_cluster_too_few_is_an_error():
    with pytest.raises(ValueError, match="2 items have 1 clusters"):
        estimate([1, 0], MEAN, ["a"], 0)


def test_what_is_no_mean_is_bootstrapped_around_its_value():
    found = estimate(_ERRORS, WER, None, 3)
    assert found.value == sum(item["edits"] for item in _ERRORS) / sum(item["words"] for item in _ERRORS)
    assert found.method == "bootstrap"
    assert found.ci_low < found.value < found.ci_high
    assert (found.ci_high - found.ci_low) / found.stderr == pytest.approx(3.92, rel=0.1)


def test_the_bootstrap_resamples_whole_clusters():
    doubled = [item for item in _ERRORS for _ in range(4)]
    clusters = [str(i // 4) for i in range(len(doubled))]
    clustered, alone = estimate(doubled, WER, clusters, 3), estimate(_ERRORS, WER, None, 3)
    assert (clustered.method, clustered.clusters, clustered.n) == ("cluster-bootstrap", 60, 240)
    assert (clustered.stderr, clustered.ci_low) == (pytest.approx(alone.stderr), pytest.approx(alone.ci_low))
    assert estimate(doubled, WER, None, 3).stderr < 0.6 * alone.stderr


def test_a_function_sees_drawn_clusters_whole_and_in_the_order_of_the_documents():
    seen = []

    def function(items):
        seen.append(list(items))
        return float(len(items))

    estimate([10, 11, 20, 30, 31, 32], aggregations.custom("mine", function), list("aabccc"), 1, resamples=40)
    for items in seen:
        assert items == sorted(items, key=lambda item: item // 10)
        counts = {item: items.count(item) for item in items}
        assert counts.get(10) == counts.get(11)
        assert counts.get(30) == counts.get(31) == counts.get(32)
    assert len({tuple(items) for items in seen}) > 5


def test_sums_of_resamples_do_not_depend_on_the_order_of_addition():
    generator = np.random.default_rng(3)
    rows = (generator.normal(size=(500, 2)) * [1e3, 1e-6]).tolist()
    grid, scales = bootstrap._on_grid(np.array(rows))
    drawn = grid[generator.integers(0, 500, 500)]
    forward, backward = np.cumsum(drawn, axis=0)[-1], np.cumsum(drawn[::-1], axis=0)[-1]
    assert forward.tolist() == backward.tolist() == [math.fsum(column) for column in drawn.T]
    assert (grid / scales) == pytest.approx(np.array(rows), abs=1e-9)


def test_sums_and_the_function_itself_give_the_same_bootstrap():
    def function(items):
        return sum(item["edits"] for item in items) / sum(item["words"] for item in items)

    clusters = [str(i % 20) for i in range(60)]
    for names in (None, clusters):
        whole = estimate(_ERRORS, aggregations.custom("mine", function), names, 11)
        assert whole == estimate(_ERRORS, WER, names, 11)


def test_the_bootstrap_of_a_mean_comes_near_its_standard_error():
    values = [math.sin(i) for i in range(300)]
    drawn, plain = estimate(values, aggregations.custom("mine", np.mean), None, 5), estimate(values, MEAN, None, 5)
    assert drawn.stderr == pytest.approx(plain.stderr, rel=0.1)
    assert drawn.ci_low == pytest.approx(plain.ci_low, abs=0.02)


def test_the_seed_and_only_the_seed_moves_the_bootstrap():
    np.random.seed(1)
    first = estimate(_ERRORS, WER, None, 3)
    np.random.seed(2)
    assert estimate(_ERRORS, WER, None, 3) == first
    assert estimate(_ERRORS, WER, None, 4).ci_low != first.ci_low


def test_the_random_stream_of_the_bootstrap_is_the_one_of_old():
    found = estimate([-0.1 * i for i in range(12)], aggregations.get("perplexity"), None, 2024, 50)
    assert (found.value, found.stderr, found.ci_low, found.ci_high) == FROZEN


FROZEN = (1.7332530178673953, 0.1476117586886411, 1.515780973040598, 1.9933122695084395)


def test_slow_functions_get_resamples_by_a_rule_of_n_alone():
    assert [bootstrap.resamples_of_slow(n, 1000) for n in (1, 2000, 4000, 20_000, 10**6)] == [1000, 1000, 500, 100, 100]
    calls = []

    def function(items):
        calls.append(len(items))
        return sum(items)

    estimate([0.5 * i for i in range(4000)], aggregations.custom("mine", function), None, 0)
    assert calls == [4000] * 502


def test_without_resamples_a_function_is_called_once():
    calls = []
    found = estimate([1, 2], aggregations.custom("mine", lambda items: calls.append(1) or 5.0), None, 0, resamples=0)
    assert (found, len(calls)) == (Estimate(5.0, *NOTHING, 2, None), 1)


def test_a_function_with_a_memory_has_a_value_but_no_interval():
    seen = []

    def function(items):
        seen.extend(items)
        return sum(seen)

    assert estimate([1, 2], aggregations.custom("mine", function), None, 0) == Estimate(3.0, *NOTHING, 2, None)


def test_a_function_that_cannot_take_a_resample_has_a_value_but_no_interval():
    def function(items):
        assert len({item["id"] for item in items}) == len(items)
        return 1.5

    items = [{"id": i} for i in range(8)]
    assert estimate(items, aggregations.custom("mine", function), None, 0) == Estimate(1.5, *NOTHING, 8, None)


def test_several_values_have_no_interval():
    found = estimate([1, 0], aggregations.custom("mine", lambda items: {"a": 1, "b": None}), None, 0)
    assert found == Estimate({"a": 1.0, "b": None}, *NOTHING, 2, None)


@pytest.mark.parametrize(
    ("name", "items", "clusters", "expected"),
    [
        ("wer", [], None, Estimate(None, *NOTHING, 0, None)),
        ("wer", [[1, 4]], None, Estimate(0.25, *NOTHING, 1, None)),
        ("wer", [[1, 4], [2, 4]], ["a", "a"], Estimate(0.375, *NOTHING, 2, 1)),
        ("wer", [[1, 4], [1, 4]], None, Estimate(0.25, 0.0, None, None, "none", 2, None)),
        ("wer", [[1, 0], [1, 0]], None, Estimate(None, *NOTHING, 2, None)),
        ("median", [], None, Estimate(None, *NOTHING, 0, None)),
        ("median", [0.5], None, Estimate(0.5, *NOTHING, 1, None)),
        ("median", [0.5, 0.5], None, Estimate(0.5, 0.0, None, None, "none", 2, None)),
        ("bypass", [1, 2], None, Estimate(None, *NOTHING, 2, None)),
        ("perplexity", [-1e9, -1e9], None, Estimate(None, *NOTHING, 2, None)),
    ],
)
def test_what_a_bootstrap_cannot_say_is_none(name, items, clusters, expected):
    assert estimate(items, aggregations.get(name), clusters, 0) == expected


def test_values_undefined_in_many_resamples_have_no_interval():
    # In one resample of ten neither of the two documents with words is drawn.
    found = estimate([[1, 3], [2, 3], *[[0, 0]] * 6], WER, None, 0)
    assert found == Estimate(0.5, *NOTHING, 8, None)


def test_acc_all_resamples_questions_where_the_task_names_no_clusters():
    items = [[i % 3 > 0, {"idx": {"paragraph": i // 8, "question": i // 2}, "label": 1}] for i in range(40)]
    found = estimate(items, aggregations.get("acc_all"), None, 0)
    assert (found.n, found.clusters, found.method) == (40, 20, "cluster-bootstrap")
    shares = found.value * (1 - found.value) / 20
    assert found.stderr == pytest.approx(math.sqrt(shares), rel=0.1)


@pytest.mark.parametrize("scale", [1e-140, 1e-9, 1.0, 1e9, 1e140])
def test_the_bootstrap_works_on_any_scale(scale):
    items = [math.sin(i) * scale for i in range(40)]
    found = estimate(items, aggregations.get("sum"), None, 0)
    plain = estimate([math.sin(i) for i in range(40)], aggregations.get("sum"), None, 0)
    assert found.stderr == pytest.approx(plain.stderr * scale, rel=1e-6, abs=0)
