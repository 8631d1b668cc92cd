"""The shipped tasks: each loads, asks what its source asks, and gives a right answer the best score."""

import io
import wave

import pytest

from assay_runner.media import from_bytes
from assay_runner.tasks.catalogue import Catalogue
from support.documents import png

CHOICES = {"text": ["red", "green", "blue", "teal", "pink"], "label": ["A", "B", "C", "D", "E"]}


def speech() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16000, 2, "NONE", "none"))
        file.writeframes(b"\x00\x00\x01\x00")
    return buffer.getvalue()


# Task → document in the form of its dataset, and the text that the model is to see.
ASKED = {
    "piqa": ({"goal": "Open it.", "sol1": "Push", "sol2": "Pull", "label": 1}, "Question: Open it.\nAnswer:"),
    "boolq": (
        {"passage": "Ice is cold.", "question": "is ice cold", "label": 1},
        "Ice is cold.\nQuestion: is ice cold?\nAnswer:",
    ),
    "openbookqa": (
        {"question_stem": "A leaf is", "choices": {key: some[:4] for key, some in CHOICES.items()}, "answerKey": "B"},
        "A leaf is",
    ),
    "commonsense_qa": (
        {"question": " What colour? ", "choices": CHOICES, "answerKey": "B"},
        "Question: What colour?\nA. red\nB. green\nC. blue\nD. teal\nE. pink\nAnswer:",
    ),
    "mmlu_abstract_algebra": (
        {"question": "1 + 1? ", "choices": ["1", "2", "3", "4"], "answer": 1},
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:",
    ),
}
CONTINUATIONS = {
    "piqa": [" Push", " Pull"],
    "boolq": [" no", " yes"],
    "openbookqa": [" red", " green", " blue", " teal"],
    "commonsense_qa": [" A", " B", " C", " D", " E"],
    "mmlu_abstract_algebra": [" A", " B", " C", " D"],
}


@pytest.mark.parametrize("name", ASKED)
def test_a_choice_task_asks_as_its_source_and_scores_the_right_choice_best(tasks, chosen, name):
    doc, prompt = ASKED[name]
    task = tasks.shipped(name)
    (sample,) = task.build(0, doc, [])
    assert {request.prompt for request in sample.requests} == {prompt}
    assert [request.continuation for request in sample.requests] == CONTINUATIONS[name]
    right = [-1.0 if place == 1 else -20.0 for place in range(len(sample.requests))]
    wrong = [-1.0 if place == 0 else -20.0 for place in range(len(sample.requests))]
    assert set(chosen(task, doc, *right).items.values()) == {1.0}
    assert set(chosen(task, doc, *wrong).items.values()) == {0.0}


def test_gsm8k_reads_the_answer_in_two_ways(tasks, answered):
    task, doc = tasks.shipped("gsm8k"), {"question": "2 + 1,000?", "answer": "It is so.\n#### 1,002"}
    (sample,) = task.build(0, doc, [])
    assert sample.requests[0].prompt == "Question: 2 + 1,000?\nAnswer:"
    assert sample.requests[0].generation.stop == ("Question:", "</s>", "<|im_end|>") and task.num_fewshot == 5
    (strict,) = answered(task, doc, "Two and a thousand.\n#### 1002")
    assert strict.items == {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 1.0}
    (flexible,) = answered(task, doc, "That is $1,002.")
    assert flexible.items == {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 1.0}
    (wrong,) = answered(task, doc, "no idea")
    assert set(wrong.items.values()) == {0.0}


@pytest.mark.parametrize(("answer", "kind"), [("yes", "yes_no"), ("circle", "shape"), ("teal", "colour")])
def test_easy_vqa_scores_by_kind_of_answer(tasks, answered, answer, kind):
    task = tasks.shipped("easy_vqa")
    doc = {"question": "What is it?", "answer": answer, "image_id": 3, "image": from_bytes(png(3))}
    (sample,) = task.build(0, doc, [])
    assert [part["type"] for part in sample.prompt[0]["content"]] == ["image", "text"]
    assert sample.prompt[0]["content"][1]["text"] == "What is it?" and sample.cluster == "3"
    assert answered(task, doc, f" {answer.title()}\n")[0].items == {"exact_match": 1.0, kind: 1.0}
    assert answered(task, doc, "nonsense")[0].items == {"exact_match": 0.0, kind: 0.0}


def test_speech_is_scored_in_a_normal_form(tasks, answered):
    task, doc = tasks.shipped("asr_wer"), {"audio": from_bytes(speech()), "text": "I CAN'T SEE TWENTY ONE COLOURS"}
    (sample,) = task.build(0, doc, [])
    assert [part["type"] for part in sample.prompt[0]["content"]] == ["audio", "text"]
    (record,) = answered(task, doc, "I can not see 21 colors.")
    assert record.items["wer"]["edits"] == 0 and record.items["wer"]["words"] > 0 and record.items["cer"]["edits"] == 0
    assert answered(task, doc, "nothing of the kind")[0].items["wer"]["edits"] > 0
    assert {(spec.metric, spec.higher_is_better) for spec in task.metrics} == {("wer", False), ("cer", False)}


def test_mmlu_is_57_subjects_in_four_parts_each_with_its_own_description(tasks):
    resolved = Catalogue().resolve(["mmlu"])
    assert len(resolved.tasks) == 57
    groups = {group.name: set(group.tasks) for group in resolved.groups}
    parts = [groups[f"mmlu_{part}"] for part in ("stem", "humanities", "social_sciences", "other")]
    assert sorted(map(len, parts)) == [12, 13, 13, 19] and set.union(*parts) == groups["mmlu"]
    for task in resolved.tasks:
        subject = task.name.removeprefix("mmlu_")
        assert (task.config.dataset_path, task.config.dataset_name) == ("cais/mmlu", subject)
        assert subject.replace("_", " ") in task.config.description


@pytest.mark.parametrize("name", [row["name"] for row in Catalogue().describe() if row["kind"] == "task"])
def test_every_shipped_task_loads_and_says_what_it_is_about(tasks, name):
    task = tasks.shipped(name)
    assert task.version and task.metrics
    row = next(row for row in Catalogue().describe() if row["name"] == name)
    assert row["description"] and row["dataset"] and row["modality"] in ("text", "image, text", "audio, text")


def test_nothing_that_is_shipped_is_broken():
    assert {row["kind"] for row in Catalogue().describe()} == {"task", "group"}


def test_a_shipped_task_works_on_ones_own_data(tasks, chosen):
    folder = tasks.folder(t_yaml="include: piqa\ntask: my_piqa\ndataset_path: ./mine.jsonl\n")
    task = tasks.load("my_piqa", [folder])
    record = chosen(task, ASKED["piqa"][0], -20.0, -1.0)
    assert record.items == {"acc": 1.0, "acc_norm": 1.0}


def test_examples_of_shipped_tasks_stand_before_the_question(tasks):
    task = tasks.shipped("mmlu_abstract_algebra", shots=1)
    doc, _ = ASKED["mmlu_abstract_algebra"]
    (sample,) = task.build(0, doc, [doc])
    shown = "1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    assert sample.requests[0].prompt.endswith(f"\n\n{shown} B\n\n{shown}") and task.fewshot_split == "dev"
