import math
import random
import warnings

import jiwer
import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from assay_runner.metrics import registry, speech
from assay_runner.statistics import aggregations
from assay_runner.statistics.items import AggregationError, ItemError

CLOSE = {"rel": 1e-9, "abs": 1e-9}
_WORDS = ["the", "cat", "sat", "on", "a", "mat,", "don't", "größe", "x"]
_TEXTS = st.lists(st.sampled_from(_WORDS), max_size=9).map(" ".join)
_TRANSLATIONS = st.lists(
    st.tuples(st.lists(_TEXTS.filter(bool), min_size=2, max_size=2), _TEXTS), min_size=1, max_size=6
)
_BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def compute(name, items):
    return aggregations.get(name).compute(items)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_mean_median_and_sum_equal_numpys(values):
    assert compute("mean", values) == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert compute("median", values) == pytest.approx(np.median(values), rel=1e-12)
    assert compute("sum", values) == pytest.approx(np.sum(values), rel=1e-9, abs=1e-6)


def test_the_median_is_taken_of_the_sorted_items():
    assert compute("median", [9, 1, 5]) == 5
    assert compute("median", [9, 1, 5, 2]) == 3.5


def test_nanmean_leaves_out_what_is_missing():
    assert compute("nanmean", [1.0, None, math.nan, 0.0]) == 0.5
    assert compute("nanmean", [None]) is None


def test_weighted_mean_divides_sums_by_weights():
    assert compute("weighted_mean", [[3, 4], [1, 4]]) == 0.5
    assert compute("weighted_mean", [{"sum": 3, "weight": 0}]) is None


@given(_BITS)
def test_accuracy_f1_and_matthews_correlation_equal_scikit_learns(pairs):
    gold, predicted = zip(*pairs, strict=True)
    right = [float(g == p) for g, p in pairs]
    assert compute("mean", right) == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted), **CLOSE)
    expected = sklearn_metrics.f1_score(gold, predicted, zero_division=0)
    assert compute("f1", pairs) == pytest.approx(expected, **CLOSE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn_metrics.matthews_corrcoef(gold, predicted)
    assert compute("mcc", pairs) == pytest.approx(expected, **CLOSE)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=2, max_size=40))
def test_matthews_correlation_of_several_labels_equals_scikit_learns(pairs):
    gold, predicted = zip(*pairs, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn_metrics.matthews_corrcoef(gold, predicted)
    assert compute("mcc", pairs) == pytest.approx(expected, **CLOSE)


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.floats(0.01, 1), min_size=3, max_size=3)), min_size=1))
def test_the_brier_score_equals_scikit_learns(items):
    items = [(gold, [w / sum(weights) for w in weights]) for gold, weights in items]
    gold, probabilities = zip(*items, strict=True)
    expected = sklearn_metrics.brier_score_loss(gold, probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert compute("brier_score", items) == pytest.approx(expected, **CLOSE)


@given(_TRANSLATIONS)
def test_bleu_chrf_and_ter_equal_sacrebleus_corpus_scores(items):
    references, predictions = zip(*items, strict=True)
    streams = [list(stream) for stream in zip(*references, strict=True)]
    assert compute("bleu", items) == pytest.approx(sacrebleu.corpus_bleu(predictions, streams).score, **CLOSE)
    assert compute("chrf", items) == pytest.approx(sacrebleu.corpus_chrf(predictions, streams).score, **CLOSE)
    assert compute("ter", items) == pytest.approx(sacrebleu.corpus_ter(predictions, streams).score, **CLOSE)


def test_bleu_of_a_longer_corpus_is_not_zero_and_equals_sacrebleus():
    generator = random.Random(5)
    references = [" ".join(generator.choices(_WORDS, k=12)) for _ in range(60)]
    predictions = [
        " ".join(w if generator.random() < 0.8 else "x" for w in text.split()[: generator.randint(8, 12)])
        for text in references
    ]
    value = compute("bleu", list(zip(references, predictions, strict=True)))
    assert value == pytest.approx(sacrebleu.corpus_bleu(predictions, [references]).score, **CLOSE)
    assert 10 < value < 90


@given(st.lists(st.tuples(_TEXTS.filter(bool), _TEXTS), min_size=1, max_size=8))
def test_corpus_error_rates_equal_jiwers(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    words = [speech.wer(hypothesis, reference) for reference, hypothesis in pairs]
    characters = [speech.cer(hypothesis, reference) for reference, hypothesis in pairs]
    assert compute("wer", words) == pytest.approx(jiwer.wer(references, hypotheses), **CLOSE)
    assert compute("cer", characters) == pytest.approx(jiwer.cer(references, hypotheses), **CLOSE)


@given(st.lists(st.tuples(st.floats(-50, 0), st.integers(1, 30)), min_size=1, max_size=30))
def test_perplexities_are_exponentials_of_mean_log_likelihoods(items):
    logprobs, counts = map(np.array, zip(*items, strict=True))
    assert compute("perplexity", logprobs.tolist()) == pytest.approx(np.exp(-logprobs.mean()), rel=1e-9)
    per_unit = logprobs.sum() / counts.sum()
    assert compute("weighted_perplexity", items) == pytest.approx(np.exp(-per_unit), rel=1e-9)
    as_words = [{"logprob": logprob, "words": count} for logprob, count in items]
    assert compute("weighted_perplexity", as_words) == compute("weighted_perplexity", items)
    as_bytes = [{"logprob": logprob, "bytes": count} for logprob, count in items]
    assert compute("bits_per_byte", as_bytes) == pytest.approx(-per_unit / np.log(2), rel=1e-9)


def test_a_perplexity_beyond_floats_is_none_and_not_infinite():
    assert compute("perplexity", [-1e9]) is None


def test_acc_all_needs_every_answer_of_a_question_right():
    def answer(question, prediction, label):
        return [prediction, {"idx": {"paragraph": 0, "question": question}, "label": label}]

    items = [answer(0, True, 1), answer(1, True, 0), answer(0, False, 0), answer(1, True, 1)]
    assert compute("acc_all", items) == 0.5


def test_bypass_has_no_value():
    assert compute("bypass", [1, 2]) is None


_SAMPLES = {
    "mean": [0.1 * i for i in range(30)],
    "nanmean": [0.1 * i if i % 3 else None for i in range(30)],
    "median": [math.sin(i) for i in range(30)],
    "sum": [math.sin(i) for i in range(30)],
    "weighted_mean": [[math.sin(i), i] for i in range(30)],
    "perplexity": [-0.1 * i for i in range(30)],
    "weighted_perplexity": [[-0.1 * i, i] for i in range(30)],
    "bits_per_byte": [[-0.1 * i, i] for i in range(30)],
    "wer": [{"edits": i % 4, "words": i % 7 + 1} for i in range(30)],
    "cer": [{"edits": i % 4, "characters": i % 7 + 1} for i in range(30)],
    "bleu": [["the cat sat on a mat today", "the cat sat on " + "mat " * i] for i in range(9)],
    "chrf": [["the cat sat", "the cat " * i] for i in range(9)],
    "ter": [[["the cat sat", "a cat"], "the cat " * i] for i in range(9)],
    "f1": [[i % 2, i % 3 % 2] for i in range(30)],
    "mcc": [[i % 2, i % 3] for i in range(30)],
    "brier_score": [[i % 2, [0.1 * i, 1 - 0.1 * i]] for i in range(10)],
    "acc_all": [[i % 3, {"idx": {"paragraph": 0, "question": i % 5}, "label": i % 2}] for i in range(30)],
    "bypass": [1, 2],
}


def test_every_aggregation_is_covered_here():
    assert sorted(_SAMPLES) == list(aggregations.names())
    assert {registry.get(name).aggregation for name in registry.names()} <= set(aggregations.names())


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_the_order_of_items_does_not_change_a_bit_of_the_value(name):
    items, expected = list(_SAMPLES[name]), compute(name, _SAMPLES[name])
    generator = random.Random(1)
    for _ in range(20):
        generator.shuffle(items)
        assert compute(name, items) == expected


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_no_items_have_no_value(name):
    assert compute(name, []) is None


@pytest.mark.parametrize("name", sorted(set(_SAMPLES) - {"bypass"}))
@pytest.mark.parametrize("wrong", ["text", {"score": 1.0}, [1, 2, 3], math.inf])
def test_an_item_of_the_wrong_type_is_an_error_that_shows_it(name, wrong):
    with pytest.raises(ItemError, match="item 2 is"):
        compute(name, [*_SAMPLES[name][:2], wrong])


def test_none_is_no_number_for_a_mean():
    with pytest.raises(ItemError, match="item 1 is None"):
        compute("mean", [1.0, None])


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (True, 1.0),
        (7, 7.0),
        (None, None),
        (math.nan, None),
        (np.float64("inf"), None),
        ({"a": np.float64(0.25), 2: math.nan}, {"a": 0.25, "2": None}),
    ],
)
def test_a_custom_aggregation_may_return_any_kind_of_number(returned, expected):
    assert aggregations.custom("mine", lambda items: returned).compute([1]) == expected


@pytest.mark.parametrize("returned", ["0.5", [1.0], np.array([1.0, 2.0]), {"a": "b"}, {"a": {"b": 1.0}}])
def test_what_a_custom_aggregation_must_not_return_is_an_error_that_names_the_metric(returned):
    with pytest.raises(AggregationError, match="Metric mine cannot be aggregated: its function returned"):
        aggregations.custom("mine", lambda items: returned).compute([1])


def test_a_negative_count_is_an_error():
    with pytest.raises(ItemError, match="item 0 is"):
        compute("wer", [{"edits": 1, "words": -2}])


def test_a_custom_aggregation_that_fails_is_an_error_that_names_the_metric():
    def function(items):
        return items[0]["score"]

    with pytest.raises(AggregationError, match=r"Metric mine .* raised KeyError: 'score'") as caught:
        aggregations.custom("mine", function).compute([{}])
    assert caught.value.exit_code == 64

    def leave(items):
        raise SystemExit(3)

    with pytest.raises(AggregationError, match="SystemExit"):
        aggregations.custom("mine", leave).compute([{}])


def test_a_custom_aggregation_that_changes_its_items_changes_a_copy():
    items = [{"score": 1.0}, {"score": 0.0}]

    def function(given):
        return sum(given.pop()["score"] for _ in range(len(given)))

    assert aggregations.custom("mine", function).compute(items) == 1.0
    assert items == [{"score": 1.0}, {"score": 0.0}]
