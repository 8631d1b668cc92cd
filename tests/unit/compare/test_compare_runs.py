"""Two runs are compared on what their markers committed, and refused when anything about them does not fit."""

import asyncio
import json
import shutil

import pytest

from assay_api.comparison import Comparison
from assay_api.errors import Corrupt, Incomplete
from assay_runner.backends.base import Response, ResponseError
from assay_runner.compare.comparable import Incomparable, common_tasks, notes
from assay_runner.compare.compare import compare_runs
from assay_runner.compare.finished import open_finished
from assay_runner.store.file import FileStore
from support.runs import TASK, UTILS, WORDS, AnsweringBackend, answer_of, planned, results_bytes, worker, write_task

PLAIN = (
    TASK.replace("process_results: !function utils.score\n", "")
    .replace("  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", "")
    .replace("id_key: thing\n", "")
)
FREE = PLAIN.replace("cluster_key: shelf\n", "")


class Model(AnsweringBackend):
    """Answers by question and repeat; `wrong` says on which documents the answer is none, `fails` on which it fails."""

    def __init__(self, wrong=lambda number: False, fails=lambda number: False, sampling=False):
        super().__init__()
        self.wrong, self.fails, self.sampling = wrong, fails, sampling

    def _response(self, request):
        number = int(request.key.split("/")[1])
        if self.fails(number):
            return Response(request.key, error=ResponseError("Timeout", "too slow"), attempts=4)
        right = WORDS[request.seed % 4] if self.sampling else answer_of(f"What is the colour of thing {number}?")
        return Response(request.key, text="" if self.wrong(number) else right, tokens_in=1, tokens_out=1, latency=0.1)


@pytest.fixture
def evaluate(tmp_path):
    """A finished run of the test task in this process; runs are told apart by their names."""

    def run(name, answering=None, *, task=PLAIN, documents=60, utils=UTILS, **spec):
        folder = tmp_path / name
        write_task(folder / "tasks", documents=documents, task=task, utils=utils)
        made = planned(folder, FileStore(tmp_path / "store"), run=name, errorPolicy={"maxErrorRate": 1.0}, **spec)
        asyncio.run(worker(made, backend=answering or Model(), index=0).run())
        results_bytes(made)
        return made

    return run


def compare(a, b) -> Comparison:
    return compare_runs(open_finished(a.uri), open_finished(b.uri))


def test_the_document_is_a_function_of_the_runs_and_not_of_where_they_lie(evaluate, tmp_path):
    a, b = evaluate("a"), evaluate("b", Model(wrong=lambda number: number % 4 == 1))
    document = compare(a, b).encode()
    shutil.copytree(tmp_path / "store", tmp_path / "moved")
    moved = [open_finished(str(tmp_path / "moved" / "default" / "colours" / name)) for name in "ab"]
    assert compare_runs(*moved).encode() == document and str(tmp_path).encode() not in document
    assert Comparison.decode(document, "it").encode() == document


def test_failed_samples_are_left_out_counted_and_bounded(evaluate):
    a = evaluate("a", Model(fails=lambda number: number < 3))
    b = evaluate("b", Model(fails=lambda number: number in (2, 3), wrong=lambda number: number % 2 == 1))
    compared = compare(a, b)
    (task,), (metric,) = compared.tasks, compared.tasks[0].metrics
    assert (task.errors_a, task.errors_b, task.documents) == (3, 2, 60)
    assert (metric.n, metric.left_out, metric.clusters) == (56, 4, 12)
    assert metric.verdict == "worse" and metric.wins == 0 and metric.losses + metric.ties == 56
    low, high = metric.bounds.low, metric.bounds.high
    # Documents 0, 1 and 3 failed in one run, document 2 in both: 0 and 1 are known in B, 3 in A.
    known = metric.difference * 56
    assert high - low == pytest.approx((1 + 1 + 2 + 1) / 60) and low < known / 60 < high
    assert "4 questions without a score in both runs are left out: whatever they would have scored" in metric.sentence
    assert any("3 samples failed in A and 2 in B" in note for note in compared.notes)


def test_repeats_of_a_document_are_one_number_first(evaluate):
    spec = {"tasks": [{"name": "colours", "repeats": 4}]}
    a = evaluate("a", Model(sampling=True), task=FREE, **spec)
    b = evaluate("b", Model(sampling=True), task=FREE, seed=1, **spec)
    compared = compare(a, b)
    reported = {one.metric: one.value for one in open_finished(b.uri).results.tasks[0].metrics}
    rows = {row.metric: row for row in compared.tasks[0].metrics}
    assert (
        list(rows)
        == list(reported)
        == [f"exact_match:{one}" for one in ("avg@4", "pass@1", "pass@2", "pass@4", "majority@4")]
    )
    assert {name: row.value_b for name, row in rows.items()} == reported
    assert {row.n for row in rows.values()} == {60} and [row.headline for row in rows.values()] == [True] + [False] * 4
    assert rows["exact_match:majority@4"].mcnemar is not None and rows["exact_match:avg@4"].mcnemar is None
    assert any("The seeds differ (0 against 1)" in note for note in compared.notes)


@pytest.fixture
def few_resamples(monkeypatch):
    """Each resample loads the task's Python anew."""
    monkeypatch.setattr("assay_runner.compare.rows.DEFAULT_RESAMPLES", 60)
    monkeypatch.setattr("assay_runner.reduce.task_metrics.DEFAULT_RESAMPLES", 2)


@pytest.mark.usefixtures("few_resamples")
def test_an_aggregation_of_the_task_s_own_is_resampled_in_pairs(evaluate):
    a, b = evaluate("a", task=TASK), evaluate("b", Model(wrong=lambda number: number % 4 == 1), task=TASK)
    own = compare(a, b).tasks[0].metrics[1]
    reported = [open_finished(run.uri).metric("colours", "f1", "none").value for run in (a, b)]
    assert own.method == "cluster-bootstrap" and own.difference == reported[1] - reported[0]
    assert own.ci_low < own.difference < own.ci_high and own.wins is None and own.detectable > own.stderr


def test_the_first_metric_of_a_task_is_its_headline_and_the_others_are_a_family_of_their_own(evaluate):
    three = PLAIN.replace("metric_list:\n", "metric_list:\n  - {metric: contains}\n  - {metric: token_f1}\n")
    rows = compare(
        evaluate("a", task=three), evaluate("b", Model(wrong=lambda number: number in (4, 5, 7)), task=three)
    )
    first, *others = rows.tasks[0].metrics
    assert first.headline and first.p_adjusted == first.p_value < 0.2
    assert [(row.headline, row.p_adjusted) for row in others] == [(False, 2 * first.p_value)] * 2


def test_chunk_size_model_and_sampling_settings_may_differ_and_the_last_is_noted(evaluate):
    a = evaluate("a", chunkSize=8)
    warm = [{"name": "colours", "generation": {"temperature": 0.7, "max_new_tokens": 9}}]
    compared = compare(a, evaluate("b", chunkSize=25, tasks=warm))
    assert compared.notes == (
        "Task colours was answered with other generation settings: max_new_tokens 8 against 9, temperature 0.0 against 0.7.",
    )
    assert compared.tasks[0].metrics[0].verdict == "identical"


def test_a_group_is_the_headline_of_its_tasks(evaluate, tmp_path):
    runs = []
    for name, model in (("a", Model()), ("b", Model(wrong=lambda number: number % 4 == 1))):
        folder = tmp_path / name / "tasks"
        folder.mkdir(parents=True)
        (folder / "shades.yaml").write_text(PLAIN.replace("task: colours", "task: shades"))
        (folder / "all.yaml").write_text(
            "group: all\ntask: [colours, shades]\naggregate_metric_list: [{metric: exact_match, weight_by_size: true}]\n"
        )
        runs.append(evaluate(name, model, tasks=[{"name": "all"}]))
    compared = compare(*runs)
    first, second = (task.metrics[0] for task in compared.tasks)
    (found,) = compared.groups[0].metrics
    assert [row.headline for row in (first, second, found)] == [False, False, True]
    assert found.difference == pytest.approx((first.difference + second.difference) / 2) and found.n == 120
    assert found.stderr == pytest.approx(first.stderr / 2**0.5) and found.p_adjusted == found.p_value < first.p_value
    assert found.sentence.startswith("A is better on all exact_match by ")


def test_versions_and_tasks_of_one_run_alone_are_noted(evaluate):
    plan = evaluate("a").plan
    other = plan.model_copy(
        update={"assay_version": "9.9", "tasks": (*plan.tasks, plan.tasks[0].model_copy(update={"name": "hues"}))}
    )
    assert common_tasks(plan, other) == ("colours",)
    version, alone = notes(plan, other, ("colours",))
    assert "B by 9.9" in version and alone == "Only B has hues; nothing is compared there."


def test_servers_beside_the_workers_that_differ_are_noted(evaluate):
    plan = evaluate("a").plan

    def served(**server):
        pins = {"server": {"name": "vllm", "image": "vllm:1", "command": [], "args": ["--seed", "1"], **server}}
        return plan.model_copy(update={"model": plan.model.model_copy(update={"pins": pins})})

    (note,) = notes(served(), served(image="vllm:2", args=[]), ("colours",))
    assert note == ("The models were served differently: image vllm:1 against vllm:2, args --seed 1 against nothing.")
    assert not list(notes(served(), served(), ("colours",)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"documents": 50}, "documents 60 against 50; task colours: data "),
        ({"task": PLAIN.replace("What is", "Tell")}, "doc_to_messages "),
        ({"task": PLAIN.replace("cluster_key: shelf\n", "")}, "cluster_key shelf against nothing"),
        ({"task": PLAIN.replace("exact_match, ", "exact_match, ignore_case: true, ")}, "metric_list "),
        ({"tasks": [{"name": "colours", "repeats": 2}]}, "repeats 1 against 2"),
        ({"tasks": [{"name": "colours", "numFewshot": 2}]}, "few-shot examples 0 against 2"),
    ],
)
def test_another_task_or_other_data_are_refused_field_by_field(evaluate, changes, said):
    a, b = evaluate("a"), evaluate("b", **changes)
    with pytest.raises(Incomparable) as refused:
        compare(a, b)
    assert said in str(refused.value) and refused.value.exit_code == 64


@pytest.mark.usefixtures("few_resamples")
def test_examples_chosen_by_another_seed_and_other_python_are_refused(evaluate):
    shots = {"tasks": [{"name": "colours", "numFewshot": 2}]}
    a, b = evaluate("a", task=TASK, **shots), evaluate("b", task=TASK, seed=3, **shots)
    with pytest.raises(Incomparable, match="seed 0 against 3, by which the few-shot examples are chosen"):
        compare(a, b)
    with pytest.raises(Incomparable, match=r"Python files of the task: utils\.py\."):
        compare(a, evaluate("c", task=TASK, utils=f"import math\n{UTILS}", **shots))


def test_runs_without_a_common_task_are_refused(evaluate):
    a, b = evaluate("a"), evaluate("b", task=PLAIN.replace("task: colours", "task: hues"), tasks=[{"name": "hues"}])
    with pytest.raises(Incomparable, match="no task in common; A has colours, B has hues"):
        compare(a, b)


def test_prompts_that_differ_by_model_are_noted(evaluate):
    head, _, tail = FREE.partition("doc_to_messages:")
    task = f"""{head}doc_to_text: !function utils.ask
lmms_eval_specific_kwargs: {{odd: {{end: "!"}}, default: {{end: "?"}}}}
doc_to_target: {tail.partition("doc_to_target: ")[2]}"""
    asks = "def ask(doc, options):\n    return doc['thing'] + options['end']\n"
    model = {"backend": "openai", "name": "odd", "endpoint": {"url": "http://127.0.0.1:1/v1"}}
    a, b = evaluate("a", task=task, utils=asks), evaluate("b", task=task, utils=asks, model=model)
    compared = compare(a, b)
    assert compared.tasks[0].asked_differently == 60 and compared.b.model == "odd"
    assert "60 samples were asked with another prompt" in compared.notes[0]


def test_a_changed_record_or_result_is_found(evaluate):
    a, b = evaluate("a"), evaluate("b")
    results = json.loads(b.store.get("results.json"))
    results["tasks"][0]["metrics"][0]["value"] += 0.01
    b.store.put("results.json", json.dumps(results).encode())
    with pytest.raises(Corrupt, match=r"says colours exact_match is 0\.\d+, but the records give 0\."):
        compare(a, b)
    key = next(key for key in a.store.list("chunks/") if key.endswith(".zst"))
    a.store.put(key, a.store.get(key) + b" ")
    with pytest.raises(Corrupt, match=r"but chunk .* was committed with"):
        compare(a, a)


def test_a_run_that_lost_a_marker_is_incomplete(evaluate):
    a = evaluate("a")
    a.store.delete(next(key for key in a.store.list("chunks/") if key.endswith(".commit")))
    with pytest.raises(Incomplete, match="1 of 8 chunks"):
        compare(a, a)
