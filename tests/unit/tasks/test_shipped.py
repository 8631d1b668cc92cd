"""Every shipped task, without exception, scores a right answer to the maximum and a wrong one below."""

import io

import pytest

from assay_runner.media import from_bytes
from assay_runner.tasks.catalogue import Catalogue
from support.documents import png


def wav() -> bytes:
    import numpy
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, numpy.zeros(160), 16000, format="WAV")
    return buffer.getvalue()


FOUR = {"question": " What is 2+2? ", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "anatomy"}
CHOICES = {
    "piqa": ({"goal": "Open a jar", "sol1": "Twist the lid", "sol2": "Eat the lid", "label": 0}, 0, 2),
    "boolq": ({"passage": "Snow is cold.", "question": "is snow cold", "label": 1}, 1, 2),
    "openbookqa": (
        {
            "question_stem": "The sun is a",
            "choices": {"text": ["planet", "star", "moon", "rock"], "label": ["A", "B", "C", "D"]},
            "answerKey": "B",
        },
        1,
        4,
    ),
    "commonsense_qa": (
        {
            "question": "Where do fish live? ",
            "choices": {"text": ["sea", "sky", "car", "bed", "oven"], "label": ["A", "B", "C", "D", "E"]},
            "answerKey": "A",
        },
        0,
        5,
    ),
}
TEXTS = {
    "easy_vqa": ({"question": "is it red?", "answer": "yes", "image_id": 3, "image": from_bytes(png(1))}, "Yes"),
    "gsm8k": ({"question": "2+2?", "answer": "2+2 is <<2+2=4>>4.\n#### 4"}, "It is 4.\n#### 4"),
    "asr_wer": ({"audio": from_bytes(wav()), "text": "MISTER QUILTER IS HERE"}, "Mr. Quilter is here."),
}
ALL = [row["name"] for row in Catalogue().describe() if row["kind"] == "task"]


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_multiple_choice_task_scores_a_right_choice_to_the_maximum(tasks, chosen, name):
    doc, gold, count = CHOICES[name]
    task = tasks.shipped(name)
    right = chosen(task, doc, *(-1.0 if place == gold else -9.0 for place in range(count)))
    wrong = chosen(task, doc, *(-9.0 if place == gold else -1.0 for place in range(count)))
    assert right.error is None and set(right.items) == {spec.metric for spec in task.metrics}
    assert set(right.items.values()) == {1.0} and set(wrong.items.values()) == {0.0}


@pytest.mark.parametrize("name", sorted(set(ALL) - set(TEXTS) - set(CHOICES)))
def test_every_subject_of_mmlu_scores(tasks, chosen, name):
    task = tasks.shipped(name)
    assert chosen(task, FOUR, -9.0, -1.0, -9.0, -9.0).items == {"acc": 1.0}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_generating_task_scores_a_right_answer_to_the_maximum(tasks, answered, name):
    doc, answer = TEXTS[name]
    task = tasks.shipped(name)
    (right,) = answered(task, doc, answer)
    (wrong,) = answered(task, doc, "something else entirely")
    assert right.error is None and wrong.error is None
    best = {"asr_wer": {"wer": 0, "cer": 0}}.get(name, {})
    assert right.items and wrong.items
    for metric, item in right.items.items():
        assert (item["edits"] if isinstance(item, dict) else item) == best.get(metric, 1.0), metric
        assert (wrong.items[metric]["edits"] if isinstance(item, dict) else wrong.items[metric]) != best.get(
            metric, 1.0
        )


def test_gsm8k_shows_five_worked_examples(tasks):
    task = tasks.shipped("gsm8k")
    doc = {"question": "Q", "answer": "#### 1"}
    (sample,) = task.build(0, doc, [{"question": f"q{n}", "answer": f"a{n}"} for n in range(2)])
    assert task.num_fewshot == 5 and task.fewshot_split == "train"
    assert sample.requests[0].prompt == "Question: q0\nAnswer: a0\n\nQuestion: q1\nAnswer: a1\n\nQuestion: Q\nAnswer:"
    assert sample.requests[0].generation.stop == ("Question:", "</s>", "<|im_end|>")


def test_the_whole_catalogue_is_covered_here():
    assert len(ALL) == 57 + 7 and set(ALL) >= {*CHOICES, *TEXTS}
