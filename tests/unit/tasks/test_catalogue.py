"""Names of tasks, groups and tags, and what they resolve to."""

import json

import pytest

from assay_api.errors import SpecError
from assay_runner.tasks.config import TaskConfig

BASE = "dataset_path: base\ntest_split: test\ndoc_to_text: question\n"


def one(name: str, more: str = "") -> str:
    return f"task: {name}\n{BASE}{more}"


def test_a_tag_stands_for_its_tasks_and_an_old_group_field_is_a_tag(tasks):
    tasks.folder(a_yaml=one("a", "tag: both\n"), b_yaml=one("b", "group: [both, other]\n"))
    resolved = tasks.catalogue().resolve(["both"])
    assert [task.name for task in resolved.tasks] == ["a", "b"] and resolved.groups == ()


def test_groups_nest_and_keep_their_metrics(tasks):
    tasks.folder(
        a_yaml=one("a"),
        b_yaml=one("b"),
        inner_yaml="group: inner\ntask: [a]\n",
        outer_yaml="group: outer\ntask: [inner, b]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    )
    resolved = tasks.catalogue().resolve(["outer"])
    assert [task.name for task in resolved.tasks] == ["a", "b"]
    assert {group.name: group.tasks for group in resolved.groups} == {"inner": ("a",), "outer": ("a", "b")}
    assert resolved.groups[-1].metrics == ({"metric": "acc", "weight_by_size": True},)


def test_a_member_written_in_the_group_overrides_the_task_or_is_one_itself(tasks):
    tasks.folder(
        a_yaml=one("a", "num_fewshot: 0\n"),
        g_yaml="group: g\ntask:\n  - {task: a, num_fewshot: 3}\n  - {task: b, include: a.yaml, num_fewshot: 5}\n",
    )
    resolved = tasks.catalogue().resolve(["g"])
    assert {task.name: task.config.num_fewshot for task in resolved.tasks} == {"a": 3, "b": 5}


def test_one_task_in_two_versions_is_refused(tasks):
    tasks.folder(a_yaml=one("a"), g_yaml="group: g\ntask: [a, {task: a, num_fewshot: 3}]\n")
    with pytest.raises(SpecError, match="two ways"):
        tasks.catalogue().resolve(["g"])


def test_a_group_that_contains_itself_is_refused(tasks):
    tasks.folder(g_yaml="group: g\ntask: [h]\n", h_yaml="group: h\ntask: [g]\n")
    with pytest.raises(SpecError, match="g → h → g"):
        tasks.catalogue().resolve(["g"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("num_fewshot: 3\n", "num_fewshot"),
        ("aggregate_metric_list: [{metric: acc, aggregation: !function utils.mean}]\n", "mean"),
        ("aggregate_metric_list: [{metric: acc, weigh_by_size: true}]\n", "weigh_by_size"),
    ],
)
def test_a_group_that_says_what_is_not_done_is_refused(tasks, text, word):
    tasks.folder(a_yaml=one("a"), g_yaml=f"group: g\ntask: [a]\n{text}")
    with pytest.raises(SpecError, match=word):
        tasks.catalogue().resolve(["g"])


def test_two_files_with_one_name_are_both_named_when_it_is_asked_for(tasks):
    first, second = tasks.folder(name="x", a_yaml=one("a"), c_yaml=one("c")), tasks.folder(name="y", b_yaml=one("a"))
    catalogue = tasks.catalogue(first, second)
    with pytest.raises(SpecError) as error:
        catalogue.resolve(["a"])
    assert "x/a.yaml" in str(error.value) and "y/b.yaml" in str(error.value)
    assert catalogue.resolve(["c"]).tasks[0].name == "c"


def test_the_users_task_is_meant_rather_than_the_shipped_one_of_that_name(tasks):
    folder = tasks.folder(t_yaml=one("piqa"))
    assert tasks.catalogue().resolve(["piqa"]).tasks[0].folder == folder


def test_a_shipped_task_can_be_included_by_its_name_even_under_that_name(tasks):
    tasks.folder(t_yaml="include: piqa\ntask: piqa\ndataset_path: ./mine.jsonl\n")
    config = tasks.catalogue().resolve(["piqa"]).tasks[0].config
    assert config.dataset_path == "./mine.jsonl" and config.doc_to_choice == "{{[sol1, sol2]}}"


def test_an_unknown_name_is_answered_with_the_closest(tasks):
    tasks.folder(a_yaml=one("colours"))
    with pytest.raises(SpecError, match="similar names are: colours"):
        tasks.catalogue().resolve(["colors"])


def test_a_broken_file_stops_nobody_else_and_is_named_where_a_name_is_missing(tasks):
    tasks.folder(a_yaml=one("a"), b_yaml="task: [b\n")
    assert tasks.catalogue().resolve(["a"]).tasks
    with pytest.raises(SpecError, match=r"b\.yaml"):
        tasks.catalogue().resolve(["b"])


def test_a_configuration_survives_the_plan_and_names_no_place(tasks):
    tasks.folder(name="common", base_yaml="process_results: !function utils.score\n")
    text = one(
        "t",
        "include: ../common/base.yaml\ndoc_to_target: !function sub.utils.target\n"
        "metric_list: [{metric: m, aggregation: !function utils.total}]\n"
        "doc_to_messages: [{role: user, content: [{type: text, text: '{{ q }}'}]}]\n",
    )
    tasks.folder(t_yaml=text)
    config = tasks.catalogue().resolve(["t"]).tasks[0].config
    plain = config.to_plain()
    assert str(tasks.root) not in json.dumps(plain)
    again = TaskConfig.from_plain(json.loads(json.dumps(plain)))
    assert again.to_plain() == plain and again.folders == ["0", "1"]
    assert plain["doc_to_target"] == {"!function": "sub.utils.target"}


def test_rows_for_the_listing_say_what_a_task_asks_about(tasks):
    text = (
        one("t", "metadata: {description: about things}\n")
        + "doc_to_messages:\n  - role: user\n    content: [{type: image, image: pic}]\n"
    )
    tasks.folder(t_yaml=text)
    row = next(row for row in tasks.catalogue().describe() if row["name"] == "t")
    assert (row["kind"], row["modality"], row["description"]) == ("task", "image, text", "about things")


def test_a_manifest_replaces_settings_whatever_the_task_calls_them(tasks):
    tasks.folder(t_yaml=one("t", "generation_kwargs: {max_gen_toks: 9, until: [a], do_sample: false}\n"))
    config = tasks.catalogue().resolve(["t"]).tasks[0].config
    changed = config.with_overrides(num_fewshot=2, repeats=3, generation={"max_new_tokens": 5, "temperature": 0.7})
    assert (changed.num_fewshot, changed.repeats) == (2, 3)
    assert changed.generation_kwargs == {"until": ["a"], "do_sample": True, "max_new_tokens": 5, "temperature": 0.7}
