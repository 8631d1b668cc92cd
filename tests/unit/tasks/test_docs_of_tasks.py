"""The examples of docs/tasks.md do what the page says, and its lists are complete."""

import re
from pathlib import Path

import pytest

from assay_runner.media import from_bytes
from assay_runner.tasks.catalogue import Catalogue
from assay_runner.tasks.compat import _MODULES
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.filters import BUILT_IN
from support.documents import png

PAGE = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tasks):
    """A folder with every example of the page, each in a file of its name."""
    folder = tasks.folder(utils_py=re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1])
    for text in YAML:
        (folder / f"{re.match(r'(?:task|group): (.*)', text)[1]}.yaml").write_text(text)
    return folder


def test_a_picture_is_asked_about_and_the_answer_compared(tasks, folder, answered):
    task = tasks.load("colours", [folder])
    doc = {"thing": "the door", "picture": from_bytes(png(1)), "colour": "red", "room": "hall"}
    (sample,) = task.build(0, doc, [])
    assert [part["type"] for part in sample.prompt[0]["content"]] == ["image", "text"] and sample.cluster == "hall"
    assert answered(task, doc, "Red")[0].items == {"exact_match": 1.0}


def test_sums_show_examples_and_read_the_number(tasks, folder, answered):
    task = tasks.load("sums", [folder])
    doc = {"question": "1 + 1?", "answer": 2}
    (sample,) = task.build(0, doc, [doc])
    assert sample.requests[0].prompt == "Question: 1 + 1?\nAnswer: 2\n\nQuestion: 1 + 1?\nAnswer:"
    assert answered(task, doc, "It is 2.")[0].items == {"exact_match,number": 1.0}


def test_weather_is_chosen_by_likelihood(tasks, folder, chosen):
    doc = {"question": "Sky?", "options": ["rain", "sun"], "label": 1}
    assert chosen(tasks.load("weather", [folder]), doc, -5.0, -1.0).items == {"acc": 1.0, "acc_norm": 1.0}


def test_the_group_has_its_members_and_the_include_its_base(folder):
    resolved = Catalogue([folder]).resolve(["everything", "my_piqa"])
    assert {task.name: task.config.num_fewshot for task in resolved.tasks} == {
        "sums": 2, "sums_without_examples": 0, "my_piqa": None,
    }  # fmt: skip
    assert resolved.groups[0].metrics[0]["weight_by_size"] is True


def test_python_asks_scores_and_aggregates(tasks, folder, answered):
    task = tasks.load("parity", [folder])
    (record,) = answered(task, {"number": 4, "answer": "yes"}, "Yes")
    assert record.items["right"] == 1.0
    worst = {spec.metric: spec.aggregation for spec in task.metrics}["by_answer"]
    assert worst([("yes", 1.0), ("yes", 0.0), ("no", 1.0)]) == 0.5


def test_every_field_is_on_the_page():
    assert [name for name in TaskConfig.model_fields if f"`{name}`" not in PAGE] == []


def test_every_filter_and_every_stand_in_is_on_the_page():
    assert [name for name in BUILT_IN if f"`{name}`" not in PAGE] == []
    for module, names in _MODULES.items():
        assert not names or f"`{module}`" in PAGE, module
        assert all(f"`{name}`" in PAGE for name in names), (module, names)
