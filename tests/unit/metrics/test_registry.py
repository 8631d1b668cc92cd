import json
import math

import pytest

from assay_runner.metrics import registry
from assay_runner.statistics import aggregations

_CASES = {
    "acc": [(0, 0, 1.0), (1, 0, 0.0)],
    "acc_norm": [(0, [0, 2], 1.0), (1, [0, 2], 0.0)],
    "acc_mutual_info": [(1, 1, 1.0)],
    "acc_all": [(1, {"idx": {"paragraph": 1, "question": 0}, "label": 1}, 1.0)],
    "brier_score": [([1.0, 0.0], 0, 0.0), ([0.0, 1.0], 0, 2.0)],
    "f1": [(1, 1, 1.0), (0, 1, 0.0)],
    "mcc": [(1, 1, 0.0)],
    "exact_match": [("a", "a", 1.0)],
    "contains": [("ab", "a", 1.0)],
    "relaxed_accuracy": [("101", "100", 1.0)],
    "token_f1": [("a b", "b", 1.0)],
    "anls": [("ab", "ab", 1.0)],
    "bleu": [("the cat sat down", ["the cat sat down"], 100.0)],
    "chrf": [("the cat", "the cat", 100.0)],
    "ter": [("the cat", "the cat", 0.0), ("the dog", "the cat", 50.0)],
    "wer": [("the dog", "the cat", 0.5)],
    "cer": [("cat", "car", 1 / 3)],
    "perplexity": [(-2.0, "some text", math.exp(2))],
    "word_perplexity": [(-6.0, "some more text", math.exp(2))],
    "byte_perplexity": [(-8.0, "öab", math.exp(2))],
    "bits_per_byte": [(-4.0, "öab", 1 / math.log(2))],
    "bypass": [("a", "b", None)],
}


def test_every_metric_is_covered_here():
    assert sorted(_CASES) == list(registry.names())


@pytest.mark.parametrize("name", sorted(_CASES))
def test_an_item_of_the_metric_is_json_that_its_aggregation_turns_into_the_value(name):
    metric = registry.get(name)
    aggregation = aggregations.get(metric.aggregation)
    for prediction, references, expected in _CASES[name]:
        item = json.loads(json.dumps(metric.score(prediction, references)))
        assert aggregation.compute([item]) == (None if expected is None else pytest.approx(expected, rel=1e-9))


def test_errors_and_perplexities_are_better_when_lower():
    lower = {name for name in registry.names() if not registry.get(name).higher_is_better}
    assert lower == {
        "brier_score", "ter", "wer", "cer", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte",
    }  # fmt: skip


def test_an_unknown_metric_is_a_key_error():
    with pytest.raises(KeyError):
        registry.get("accuracy_of_dreams")
