"""Task files: what they may hold, how they include each other, and that reading them runs nothing."""

import pytest

from assay_api.errors import SpecError
from assay_runner.tasks.yaml import FunctionRef, read_task_file

BASE = "dataset_path: base\ntest_split: test\ndoc_to_text: question\n"


def test_later_includes_win_over_earlier_and_the_file_over_all(tasks):
    folder = tasks.folder(
        a_yaml="x: a\ny: a\nz: a\n", b_yaml="y: b\nz: b\n", t_yaml="include: [a.yaml, b.yaml]\nz: own\n"
    )
    assert read_task_file(folder / "t.yaml") == {"x": "a", "y": "b", "z": "own"}


def test_an_include_may_include_and_have_no_extension(tasks):
    tasks.folder(name="mine/deep", _default_template_yaml="")
    folder = tasks.folder(_base="x: 1\n")
    (folder / "deep" / "middle").write_text("include: ../_base\ny: 2\n")
    (folder / "t.yaml").write_text("include: deep/middle\n")
    assert read_task_file(folder / "t.yaml") == {"x": 1, "y": 2}


def test_a_file_that_includes_itself_is_refused_with_the_chain(tasks):
    folder = tasks.folder(a_yaml="include: b.yaml\n", b_yaml="include: a.yaml\n")
    with pytest.raises(SpecError, match=r"a\.yaml → b\.yaml → a\.yaml"):
        read_task_file(folder / "a.yaml")


def test_a_missing_include_is_named(tasks):
    folder = tasks.folder(t_yaml="include: gone.yaml\n")
    with pytest.raises(SpecError, match=r"gone\.yaml"):
        read_task_file(folder / "t.yaml")


def test_functions_stay_names_of_the_folder_they_are_written_in(tasks):
    tasks.folder(name="common", base_yaml="process_results: !function utils.score\n")
    folder = tasks.folder(t_yaml="include: ../common/base.yaml\ndoc_to_text: !function utils.ask\n")
    read = read_task_file(folder / "t.yaml")
    assert read["process_results"] == FunctionRef("utils.score", str(tasks.root / "common"))
    assert read["doc_to_text"] == FunctionRef("utils.ask", str(folder))


def test_reading_and_listing_run_no_code_of_the_task(tasks):
    mark = tasks.root / "ran"
    tasks.folder(
        utils_py=f"open({str(mark)!r}, 'w').close()\n", t_yaml="task: t\n" + BASE + "process_docs: !function utils.f\n"
    )
    catalogue = tasks.catalogue()
    assert "t" in {row["name"] for row in catalogue.describe()} and catalogue.resolve(["t"])
    assert not mark.exists()


def test_tuples_are_read_and_other_python_objects_refused(tasks):
    folder = tasks.folder(t_yaml="x: !!python/tuple [1, 2]\n", bad_yaml="x: !!python/object/apply:os.system ['true']\n")
    assert read_task_file(folder / "t.yaml") == {"x": [1, 2]}
    with pytest.raises(SpecError, match=r"no valid YAML"):
        read_task_file(folder / "bad.yaml")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dataset_pth: x", ["dataset_pth", "dataset_path"]),
        ("output_type: generate_until_multi_round", ["generate_until_multi_round", "multiple_choice"]),
        ("output_type: loglikelihood_rolling", ["loglikelihood_rolling"]),
        ("output_type: multiple_choice", ["doc_to_choice"]),
        ("class: !function utils.Mine", ["class"]),
        ("gen_prefix: So", ["gen_prefix"]),
        ("repeats: 0", ["repeats"]),
        ("num_fewshot: many", ["num_fewshot"]),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(tasks, line, words):
    tasks.folder(t_yaml=f"task: t\n{BASE}{line}\n")
    with pytest.raises(SpecError) as error:
        tasks.catalogue().resolve(["t"])
    assert all(word in str(error.value) for word in (*words, "t.yaml")), error.value


def test_fields_that_only_concern_upstream_are_accepted(tasks):
    harmless = (
        "should_decontaminate: true\ndoc_to_decontamination_query: q\nmetadata: [{version: 1}]\nfull_docs: true\n"
    )
    tasks.folder(t_yaml=f"task: t\n{BASE}{harmless}group_alias: G\nuse_prompt: null\n")
    assert tasks.catalogue().resolve(["t"]).tasks[0].name == "t"
