"""From answers to items: filters, metrics, choices, repeats, and errors that are never scores."""

import json
import math

import pytest

from assay_api.errors import SpecError
from assay_runner.backends.base import Response, TokenLogprobs, ToolCall
from assay_runner.tasks.items import untagged
from assay_runner.tasks.task import TaskError

ASK = "doc_to_text: q\ndoc_to_target: a\n"


def pipeline(*steps: str, name: str = "f") -> str:
    return f"filter_list: [{{name: {name}, filter: [{', '.join(steps)}]}}]\n"


def kept(answered, task, text, doc=None):
    (record,) = answered(task, doc or {"q": "?", "a": "x"}, text)
    return record.filtered["f"]


@pytest.mark.parametrize(
    ("steps", "answer", "expected"),
    [
        (["{function: take_first}"], "a b", "a b"),
        (["{function: regex, regex_pattern: '(\\d+)'}", "{function: take_first}"], "it is 12 or 13", "12"),
        (["{function: regex, regex_pattern: '(\\d+)', group_select: -1}", "{function: take_first}"], "12 or 13", "13"),
        (["{function: regex, regex_pattern: '(a)|(b)'}", "{function: take_first}"], "b", "b"),
        (["{function: regex, regex_pattern: x}", "{function: take_first}"], "none", "[invalid]"),
        (["{function: regex, regex_pattern: x, fallback: '?'}", "{function: take_first}"], "none", "?"),
        (["{function: lowercase}", "{function: take_first}"], "AbC", "abc"),
        (["{function: uppercase}", "{function: take_first}"], "AbC", "ABC"),
        (["{function: map, mapping_dict: {a: b}, default_value: c}", "{function: take_first}"], "a", "b"),
        (["{function: map, mapping_dict: {a: b}, default_value: c}", "{function: take_first}"], "x", "c"),
    ],
)
def test_built_in_filters(tasks, answered, steps, answer, expected):
    assert kept(answered, tasks.task(ASK + pipeline(*steps)), answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("The answer is (B).", "(B)"), ("I say green", "(B)"), ("answer: A", "(A)"), ("no idea", "[invalid]")],
)
def test_an_option_is_found_by_pattern_by_text_or_by_letter(tasks, answered, answer, expected):
    step = "{function: multi_choice_regex, regex_pattern: '(\\([A-Z]\\))', ignore_case: true}"
    doc = {"q": "?", "a": "x", "choices": ["Red", "Green"]}
    assert kept(answered, tasks.task(ASK + pipeline(step, "{function: take_first}")), answer, doc) == expected


def test_a_filter_class_of_the_task_sees_the_document_without_its_media(tasks, answered):
    utils = (
        "class Pick:\n    def __init__(self, sep=' '):\n        self.sep = sep\n"
        "    def apply(self, resps, docs):\n"
        "        return [[r.split(self.sep)[doc['place']] for r in rs] for rs, doc in zip(resps, docs)]\n"
    )
    task = tasks.task(ASK + pipeline("{function: !function utils.Pick, sep: '-'}", "{function: take_first}"), utils)
    assert kept(answered, task, "a-b-c", {"q": "?", "a": "b", "place": 1}) == "b"


@pytest.mark.parametrize(
    "step",
    [
        "{function: sieve}",
        "{function: regex, regex_pattern: '('}",
        "{function: regex, pattern: x}",
        "{function: take_first_k, k: 2}",
    ],
)
def test_a_pipeline_that_cannot_work_is_refused(tasks, step):
    with pytest.raises(SpecError, match="filter_list"):
        tasks.task(ASK + pipeline(step))


def test_what_a_model_thinks_is_not_scored_unless_the_task_says_so(tasks, answered):
    doc = {"q": "?", "a": "red"}
    thinking = "<think>blue?\nno</think>\n\nred"
    assert answered(tasks.task(ASK), doc, thinking)[0].items == {"exact_match": 1.0}
    assert answered(tasks.task(ASK + "reasoning_tags: none\n"), doc, thinking)[0].items == {"exact_match": 0.0}
    own = tasks.task(ASK + "reasoning_tags: [['[', ']']]\n")
    assert answered(own, doc, "[hm] red")[0].items == {"exact_match": 1.0}
    assert answered(own, doc, thinking)[0].answers[0].text == thinking


def test_each_pipeline_gives_items_under_its_name(tasks, answered):
    text = ASK + (
        "filter_list:\n  - {name: first, filter: [{function: regex, regex_pattern: '(\\w+)'}, {function: take_first}]}\n"
        "  - {name: last, filter: [{function: regex, regex_pattern: '(\\w+)', group_select: -1}, {function: take_first}]}\n"
        "metric_list: [{metric: exact_match, ignore_case: true}]\n"
    )
    task = tasks.task(text)
    (record,) = answered(task, {"q": "?", "a": "b"}, "a or B")
    assert record.filtered == {"first": "a", "last": "B"}
    assert record.items == {"exact_match,first": 0.0, "exact_match,last": 1.0}
    assert [(spec.metric, spec.filter) for spec in task.metrics] == [("exact_match", "first"), ("exact_match", "last")]


def test_several_references_and_targets_from_templates(tasks, answered):
    listed = tasks.task("doc_to_text: q\ndoc_to_target: answers\n")
    assert answered(listed, {"q": "?", "answers": ["x", "y"]}, "y")[0].items == {"exact_match": 1.0}
    spelled = tasks.task("doc_to_text: q\ndoc_to_target: '{{ [a, b] }}'\n")
    assert answered(spelled, {"q": "?", "a": "x", "b": "y"}, "y")[0].items == {"exact_match": 1.0}
    number = tasks.task("doc_to_text: q\ndoc_to_target: '{{ a }}'\n")
    assert answered(number, {"q": "?", "a": 3.5}, "3.5")[0].items == {"exact_match": 1.0}


@pytest.mark.parametrize("written", ["007", "1e5", "3.10", "1_000", "True"])
def test_a_target_stays_the_text_that_it_is(tasks, written):
    (sample,) = tasks.task("doc_to_text: q\ndoc_to_target: ' {{ a }}'\n").build(0, {"q": "?", "a": written}, [])
    assert sample.target == f" {written}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metric_list: [{metric: exactly}]\n", ["exactly", "exact_match"]),
        ("metric_list: [{metric: perplexity}]\n", ["perplexity"]),
        ("metric_list: [{metric: acc_norm}]\n", ["acc_norm"]),
        ("metric_list: [{metric: exact_match, aggregation: meen}]\n", ["meen", "mean"]),
        ("metric_list: [{metric: exact_match, ignore_csae: true}]\n", ["ignore_csae"]),
        ("metric_list: [{aggregation: mean}]\n", ["metric_list"]),
        ("metric_list: [{metric: acc}, {metric: acc}]\n", ["acc", "twice"]),
    ],
)
def test_a_metric_that_means_nothing_here_is_refused_by_name(tasks, text, words):
    with pytest.raises(SpecError) as error:
        tasks.task(ASK + text)
    assert all(word in str(error.value) for word in words), error.value


def test_defaults_are_upstreams(tasks):
    def metrics(task):
        return [(spec.metric, spec.aggregation) for spec in task.metrics]

    assert metrics(tasks.task(ASK)) == [("exact_match", "mean")]
    choice = "output_type: multiple_choice\ndoc_to_choice: c\n"
    assert metrics(tasks.task(ASK + choice)) == [("acc", "mean"), ("acc_norm", "mean")]
    assert metrics(tasks.task(ASK + "output_type: loglikelihood\n")) == [("perplexity", "perplexity"), ("acc", "mean")]


RESULTS = "process_results: !function utils.score\nmetric_list: [{metric: m}, {metric: n, higher_is_better: false}]\n"


def test_results_of_the_tasks_own_function_may_be_partial_or_more_than_listed(tasks, answered):
    utils = "def score(doc, results):\n    return {'m' if results[0] == 'x' else 'n': 2, 'unlisted': 3}\n"
    task = tasks.task(ASK + RESULTS, utils)
    first, second = answered(task, {"q": "?", "a": 1}, "x")[0], answered(task, {"q": "?", "a": 1}, "y")[0]
    assert (first.items, second.items) == ({"m": 2}, {"n": 2})
    assert [spec.higher_is_better for spec in task.metrics] == [True, False]


ANYTHING = "process_results: !function utils.score\nmetric_list: [{metric: m, aggregation: bypass}]\n"
GIVEN = Response(
    key="k",
    text="<think>hm</think> yes",
    finish_reason="stop",
    reasoning="because",
    tool_calls=(ToolCall("look", '{"at": 1}'),),
    logprobs=TokenLogprobs(("yes",), (-0.25,), ((("no", -1.5),),)),
)


def as_given(item):
    """What an aggregation gets for the recorded item."""
    return json.loads(json.dumps(item), object_hook=untagged)


def test_a_function_with_a_keyword_for_them_sees_the_responses_as_records_keep_them(tasks, answered):
    utils = "def score(doc, results, *, responses):\n    return {'m': [results, responses]}\n"
    task, doc = tasks.task(ASK + ANYTHING, utils), {"q": "?", "a": 1}
    (record,) = task.score(doc, task.build(0, doc, []), [[GIVEN]])
    results, responses = as_given(record.items["m"])
    assert results == ["yes"]
    assert responses == [answer.model_dump(mode="json") for answer in record.answers]
    assert responses[0]["text"] == "<think>hm</think> yes" and responses[0]["reasoning"] == "because"
    assert responses[0]["tool_calls"] == [{"name": "look", "arguments": '{"at": 1}'}]
    assert responses[0]["logprobs"]["logprobs"] == [-0.25]


def test_scored_texts_have_a_response_each(tasks, chosen):
    utils = (
        "def score(doc, results, *, responses):\n    return {'m': [[r['logprob'], r['greedy']] for r in responses]}\n"
    )
    task = tasks.task(CHOICE + ANYTHING, utils)
    assert chosen(task, DOC, -1.0, -2.0, greedy=0).items == {"m": [[-1.0, True], [-2.0, False]]}


def test_a_second_parameter_of_that_name_gets_the_results_as_ever(tasks, answered):
    utils = "def score(doc, responses):\n    return {'m': responses}\n"
    (record,) = answered(tasks.task(ASK + ANYTHING, utils), {"q": "?", "a": 1}, "x")
    assert as_given(record.items["m"]) == ["x"]


@pytest.mark.parametrize(
    "body", ["raise ValueError('odd')", "return 3", "return {'m': object()}", "import sys; sys.exit(1)"]
)
def test_results_that_cannot_be_used_are_an_error_and_no_score(tasks, answered, body):
    task = tasks.task(ASK + RESULTS, f"def score(doc, results):\n    {body}\n")
    (record,) = answered(task, {"q": "?", "a": 1}, "x")
    assert record.error.kind == "TaskError" and record.items == {}


def test_tuples_and_infinities_reach_an_aggregation_of_the_task_as_they_were(tasks, answered):
    utils = (
        "def score(doc, results):\n    return {'m': (float('inf'), {1: 'a'})}\n"
        "def total(items):\n    return len({item[1][1] for item in items})\n"
    )
    text = "process_results: !function utils.score\nmetric_list: [{metric: m, aggregation: !function utils.total}]\n"
    task = tasks.task(ASK + text, utils)
    (record,) = answered(task, {"q": "?", "a": 1}, "x")
    assert as_given(record.items["m"]) == (math.inf, {1: "a"})
    assert task.metrics[0].aggregation([as_given(record.items["m"])]) == 1


def test_pairs_for_a_built_in_aggregation_are_plain_lists(tasks, answered):
    utils = "def score(doc, results):\n    return {'f1': (1, 0)}\n"
    task = tasks.task(ASK + "process_results: !function utils.score\nmetric_list: [{metric: f1}]\n", utils)
    assert answered(task, {"q": "?", "a": 1}, "x")[0].items == {"f1": [1, 0]}


def test_a_metric_function_is_called_as_upstream_calls_it(tasks, answered):
    utils = (
        "def same(references, predictions, weight=1):\n    return {'same': weight * float(references == predictions)}\n"
    )
    task = tasks.task(ASK + "metric_list: [{metric: !function utils.same, aggregation: mean, weight: 2}]\n", utils)
    assert answered(task, {"q": "?", "a": "x"}, "x")[0].items == {"same": 2.0}


CHOICE = "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: label\ndoc_to_choice: options\n"
DOC = {"q": "Which?", "label": 1, "options": ["a", "longer"]}


def test_the_likeliest_choice_is_taken_and_higher_is_likelier(tasks, chosen):
    task = tasks.task(CHOICE)
    (sample,) = task.build(0, DOC, [])
    assert [request.continuation for request in sample.requests] == [" a", " longer"]
    assert {request.prompt for request in sample.requests} == {"Which?"}
    assert chosen(task, DOC, -1.0, -3.0).items == {"acc": 0.0, "acc_norm": 1.0}
    assert chosen(task, DOC, -3.0, -1.0).items == {"acc": 1.0, "acc_norm": 1.0}
    assert task.needs_loglikelihood


@pytest.mark.parametrize("label", [1, "1", "longer", "B", [1], True])
def test_the_right_choice_is_named_by_index_text_or_letter(tasks, chosen, label):
    assert chosen(tasks.task(CHOICE), DOC | {"label": label}, -3.0, -1.0).items["acc"] == 1.0


@pytest.mark.parametrize("label", [2, -1, "shorter", None])
def test_a_target_that_is_no_choice_is_an_error_before_the_model_is_asked(tasks, label):
    with pytest.raises(TaskError, match="none of the 2 choices"):
        tasks.task(CHOICE).build(0, DOC | {"label": label}, [])


def test_mutual_information_asks_for_every_choice_without_the_question_too(tasks, chosen):
    task = tasks.task(CHOICE + "metric_list: [{metric: acc}, {metric: acc_mutual_info}]\n")
    (sample,) = task.build(0, DOC, [])
    assert [(request.prompt, request.continuation) for request in sample.requests] == [
        ("Which?", " a"), ("Which?", " longer"), ("", "a"), ("", "longer"),
    ]  # fmt: skip
    assert chosen(task, DOC, -1.0, -3.0, -1.0, -9.0).items == {"acc": 0.0, "acc_mutual_info": 1.0}


def test_choices_may_be_a_mapping_a_template_or_a_function(tasks):
    for text in ("{A: a, B: longer}", "'{{ options }}'", "!function utils.all"):
        task = tasks.task(
            CHOICE.replace("doc_to_choice: options", f"doc_to_choice: {text}"),
            "def all(doc):\n    return doc['options']\n",
        )
        assert task.build(0, DOC, [])[0].choices == ("a", "longer")
    with pytest.raises(TaskError, match="doc_to_choice"):
        tasks.task(CHOICE).build(0, DOC | {"options": []}, [])


def test_a_backend_that_gave_no_loglikelihood_is_an_error(tasks):
    task = tasks.task(CHOICE)
    (sample,) = task.build(0, DOC, [])
    (record,) = task.score(DOC, [sample], [[Response(request.key, text="a") for request in sample.requests]])
    assert record.error.kind == "BadResponse"


def test_a_given_text_is_scored_by_its_likelihood(tasks, chosen):
    task = tasks.task(
        ASK
        + "output_type: loglikelihood\nmetric_list: [{metric: perplexity}, {metric: acc}, {metric: word_perplexity}]\n"
    )
    record = chosen(task, {"q": "The", "a": "end of it"}, -2.5, greedy=0)
    assert record.items == {"perplexity": -2.5, "acc": 1.0, "word_perplexity": {"logprob": -2.5, "words": 3}}


def test_results_of_choices_are_handed_over_as_pairs(tasks, chosen):
    utils = "def score(doc, results):\n    return {'m': [list(pair) for pair in results]}\n"
    text = CHOICE + "process_results: !function utils.score\nmetric_list: [{metric: m, aggregation: bypass}]\n"
    assert chosen(tasks.task(text, utils), DOC, -1.0, -2.0, greedy=0).items == {"m": [[-1.0, True], [-2.0, False]]}


def test_every_repeat_is_scored_alone_and_a_failed_one_has_no_score(tasks, answered):
    records = answered(tasks.task(ASK, repeats=3), {"q": "?", "a": "x"}, "x", None, "y")
    assert [record.items for record in records] == [{"exact_match": 1.0}, {}, {"exact_match": 0.0}]
    assert [record.error.kind if record.error else None for record in records] == [None, "Timeout", None]
    assert records[1].attempts == 4


def test_a_repeat_that_cannot_be_scored_spoils_no_other(tasks, answered):
    utils = "def score(doc, results):\n    return {'exact_match': float(results[0])}\n"
    records = answered(
        tasks.task(ASK + "process_results: !function utils.score\n", utils, repeats=3),
        {"q": "?", "a": 1},
        "1",
        "odd",
        "0",
    )
    assert [record.items.get("exact_match") for record in records] == [1.0, None, 0.0]
    assert [record.error is not None for record in records] == [False, True, False]


VOTE = pipeline("{function: majority_vote}", "{function: take_first}", name="maj")


def test_a_vote_is_one_item_of_the_document(tasks, answered):
    task = tasks.task(ASK + VOTE, repeats=3)
    records = answered(task, {"q": "?", "a": "x"}, "y", "x", "x")
    assert [record.items for record in records] == [{"exact_match,maj": 1.0}, {}, {}]
    assert task.metrics[0].per_document


def test_a_vote_needs_every_repeat(tasks, answered):
    records = answered(tasks.task(ASK + VOTE, repeats=3), {"q": "?", "a": "x"}, "x", None, "x")
    assert [record.items for record in records] == [{}, {}, {}]


def test_the_first_answers_of_several_are_handed_to_the_tasks_function_as_a_list(tasks, answered):
    utils = "def score(doc, results):\n    return {'m': len(results[0])}\n"
    text = ASK + "process_results: !function utils.score\nmetric_list: [{metric: m}]\n"
    task = tasks.task(text + pipeline("{function: take_first_k, k: 2}"), utils, repeats=3)
    assert answered(task, {"q": "?", "a": 1}, "a", "b", "c")[0].items == {"m,f": 2}


def test_a_document_that_could_not_be_built_is_a_row_per_repeat(tasks):
    records = tasks.task(ASK, repeats=2).failed(4, TaskError("TemplateError", "no such column"))
    assert [(record.id, record.error.kind, record.attempts) for record in records] == [
        ("t/4/0", "TemplateError", 0), ("t/4/1", "TemplateError", 0),
    ]  # fmt: skip
