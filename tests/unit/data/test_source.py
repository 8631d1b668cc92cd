"""Loaders on small real files."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from assay_api.errors import SpecError
from assay_runner.data.source import DatasetSpec, load
from support.documents import content, png


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "task").mkdir()
    return tmp_path / "task"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows(folder, path, split="test", name=None, media=None, limit=None, **kwargs):
    return list(load(DatasetSpec(path, name, split, kwargs, media or {}, folder), limit=limit).rows)


def refused(folder, *args, **kwargs):
    with pytest.raises(SpecError) as error:
        rows(folder, *args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("name", ["test.jsonl", "test.json", "test.ndjson"])
def test_json_lines(folder, name):
    write(folder / name, "\ufeff" + lines({"a": 1, "b": [1.5, None]}) + "\n" + lines({"a": 2}))
    assert rows(folder, name) == [{"a": 1, "b": [1.5, None]}, {"a": 2}]


def test_compressed_json_lines(folder):
    write(folder / "test.jsonl.gz", gzip.compress(lines({"a": 1}, {"a": 2}).encode()))
    assert rows(folder, "test.jsonl.gz") == [{"a": 1}, {"a": 2}]


def test_json_list_of_objects(folder):
    write(folder / "d.json", '[\n {"a": 1},\n {"a": NaN}\n]')
    assert rows(folder, "json", data_files="d.json") == [{"a": 1}, {"a": None}]


def test_json_list_under_a_field(folder):
    write(folder / "d.json", '{"meta": 1, "data": {"rows": [{"a": 1}]}}')
    assert rows(folder, "json", data_files={"test": "d.json"}, field="data.rows") == [{"a": 1}]


def test_json_lists_with_columns(folder):
    write(folder / "d.json", '[["q", "a", 0], ["r", "b", 1]]')
    found = rows(folder, "json", data_files="d.json", columns=["question", "answer", "id"])
    assert found == [{"question": "q", "answer": "a", "id": 0}, {"question": "r", "answer": "b", "id": 1}]


def test_a_single_object_asks_for_the_field(folder):
    write(folder / "d.json", '{\n"version": 1,\n"data": []}')
    said = refused(folder, "d.json")
    assert said.startswith(f"{folder}/d.json: it holds one object instead of a list; ")
    assert said.endswith("name with dataset_kwargs.field which of these is it: version, data.")


@pytest.mark.parametrize(
    ("text", "kwargs", "message"),
    [
        ('{"a": 1}\n{"a": x\n', {}, "d.jsonl: line 2: it is not valid JSON (Expecting value, column 7); correct it."),
        ('{"a": 1}\n[1]\n', {}, "d.jsonl: line 2: a document is a list; name its values with dataset_kwargs.columns."),
        (
            "[1]\n",
            {"columns": ["a", "b"]},
            "d.jsonl: line 1: there are 1 values for 2 columns; correct dataset_kwargs.columns.",
        ),
        ("3\n", {}, "d.jsonl: line 1: a document is no int; it should be an object."),
        ("[" * 100_000, {}, "cannot be read as JSON"),
        (b'{"a": "\xff"}\n', {}, "d.jsonl: it is not UTF-8 text; save it as UTF-8."),
    ],
)
def test_a_bad_line_is_named(folder, text, kwargs, message):
    write(folder / "d.jsonl", text)
    assert message in refused(folder, "d.jsonl", **kwargs)


def test_a_bad_line_beyond_the_limit_is_not_reached(folder):
    write(folder / "d.jsonl", '{"a": 1}\nbroken\n')
    assert rows(folder, "d.jsonl", limit=1) == [{"a": 1}]


def test_csv_columns_become_ints_floats_truth_values_or_text(folder):
    write(
        folder / "d.csv",
        'i,f,b,s,mixed,id,gap,empty\n1,1.5,True,x,1,12345678901234567890,,\n-2,3,false,"y, ""z""\nw",true,2,7,\n',
    )
    assert rows(folder, "csv", data_files={"test": "d.csv"}) == [
        {"i": 1, "f": 1.5, "b": True, "s": "x", "mixed": "1", "id": "12345678901234567890", "gap": None, "empty": None},
        {"i": -2, "f": 3.0, "b": False, "s": 'y, "z"\nw', "mixed": "true", "id": "2", "gap": 7, "empty": None},
    ]


def test_csv_types_do_not_depend_on_the_order_of_rows(folder):
    write(folder / "one.csv", "a\n1\n2.5\nno\n")
    write(folder / "two.csv", "a\nno\n2.5\n1\n")
    assert rows(folder, "one.csv")[::-1] == rows(folder, "two.csv") == [{"a": "no"}, {"a": "2.5"}, {"a": "1"}]


def test_csv_agrees_with_pandas_where_no_cell_is_empty(folder):
    import pandas

    path = write(folder / "d.csv", "i,f,b,s\n1,1e3,True,a b\n007,.5,False, c\n-3,2,True,é\n")
    assert rows(folder, "d.csv") == pandas.read_csv(path).to_dict("records")


def test_csv_words_like_none_stay_words(folder):
    write(folder / "d.csv", "answer\nNA\nNone\nnull\n")
    assert [row["answer"] for row in rows(folder, "d.csv")] == ["NA", "None", "null"]


def test_tsv_and_files_without_a_header(folder):
    write(folder / "d.tsv", "a\tb\n1\tx,y\n")
    assert rows(folder, "d.tsv") == [{"a": 1, "b": "x,y"}]
    write(folder / "e.csv", "1;x\n2;y\n")
    assert rows(folder, "e.csv", sep=";", column_names=["n", "s"]) == [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]


def test_csv_with_too_many_cells_is_refused_by_line(folder):
    write(folder / "d.csv", "a,b\n1,2\n1,2,3\n")
    assert "d.csv: line 3: there are more cells than the 2 columns" in refused(folder, "d.csv")


def test_text_is_one_document_per_line(folder):
    write(folder / "d.txt", "one\n\ntwo\r\nthree")
    assert rows(folder, "text", data_files="d.txt") == [{"text": t} for t in ("one", "", "two", "three")]


@pytest.mark.parametrize(
    "files",
    [
        ["test.jsonl"],
        ["test-00000-of-00002.jsonl", "test-00001-of-00002.jsonl"],
        ["data/test-00000-of-00001-0123456789abcdef.jsonl"],
        ["test/part1.jsonl", "test/part2.jsonl"],
        ["data/test/x.jsonl"],
    ],
)
def test_folder_layouts(folder, files):
    for number, file in enumerate(files):
        write(folder / "ds" / file, lines({"n": number}))
    write(folder / "ds/train.jsonl", lines({"n": "train"}))
    write(folder / "ds/README.md", "hello")
    write(folder / "ds/dataset_info.json", "{}")
    assert rows(folder, "ds") == [{"n": number} for number in range(len(files))]
    assert rows(folder, str(folder / "ds"), split="train") == [{"n": "train"}]


def test_a_part_of_a_folder(folder):
    write(folder / "ds/algebra/test.jsonl", lines({"n": 1}))
    write(folder / "ds/anatomy/test.jsonl", lines({"n": 2}))
    assert rows(folder, "ds", name="anatomy") == [{"n": 2}]
    assert "dataset_name" in refused(folder, "ds", name="botany")


def test_an_unknown_split_is_told_with_the_known_ones(folder):
    write(folder / "ds/train.jsonl", lines({"n": 1}))
    write(folder / "ds/validation.csv", "n\n1\n")
    assert (
        refused(folder, "ds") == f"{folder}: dataset_path: ds has no split 'test'; its splits are: train, validation."
    )
    assert "its splits are: dev, train" in refused(folder, "json", data_files={"train": "a.json", "dev": "b.json"})


def test_a_split_that_lies_there_twice_is_refused(folder):
    write(folder / "ds/test.jsonl", lines({"n": 1}))
    write(folder / "ds/test.csv", "n\n1\n")
    assert "split test lies there more than once (test.csv, test.jsonl)" in refused(folder, "ds")


def test_data_files_with_wildcards_are_read_in_order(folder):
    for number in (2, 0, 1):
        write(folder / f"part{number}.jsonl", lines({"n": number}))
    assert rows(folder, "json", data_files={"test": ["part*.jsonl"]}) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_wildcards_work_where_folders_have_brackets_in_their_names(folder):
    write(folder / "a[1]/x1.jsonl", lines({"n": 1}))
    assert rows(folder / "a[1]", "json", data_files="x*.jsonl") == [{"n": 1}]
    assert rows(folder, "json", data_files=str(folder / "*/x?.jsonl")) == [{"n": 1}]


def test_relative_paths_are_meant_from_the_task_file_also_when_it_is_named_itself(folder, monkeypatch, tmp_path):
    write(folder / "d.jsonl", lines({"n": 1}))
    file = write(folder / "task.yaml", "")
    monkeypatch.chdir(tmp_path)
    assert rows(folder, "d.jsonl") == rows(file, "d.jsonl") == [{"n": 1}]


@pytest.mark.parametrize(
    ("path", "kwargs", "message"),
    [
        ("./no.jsonl", {}, "no.jsonl does not exist"),
        ("no.jsonl", {}, "no.jsonl does not exist"),
        ("json", {"data_files": "no.jsonl"}, "dataset_kwargs.data_files: "),
        ("json", {}, "dataset_kwargs.data_files: json reads files, and none are named"),
        (
            "d.jsonl",
            {"separator": ","},
            "dataset_kwargs.separator: files take no such option; known options are: column_names",
        ),
        ("d.jsonl", {"token": "hf_secret"}, "dataset_kwargs.token: a task file is no place for a token"),
        ("d.jsonl", {"video": True}, "dataset_kwargs.video: Assay does not download and unpack"),
        ("pandas", {"data_files": "d.pkl"}, "pickled tables can run code"),
        ("s3://bucket/d.jsonl", {}, "is no place documents are read from"),
        ("package:no_such_thing", {}, "the package no_such_thing is not installed; pip install no-such-thing."),
        ("package:../json", {}, "is not installed"),
        ("empty.jsonl", {}, "split test of empty.jsonl has no documents"),
        ("task.md", {}, "task.md is of no known format"),
    ],
)
def test_mistakes_are_told_in_a_sentence(folder, path, kwargs, message):
    write(folder / "d.jsonl", lines({"n": 1}))
    write(folder / "empty.jsonl", "\n")
    write(folder / "task.md", "")
    said = refused(folder, path, **kwargs)
    assert message in said and "hf_secret" not in said


def test_options_of_other_harnesses_without_effect_here_are_ignored(folder):
    write(folder / "d.jsonl", lines({"n": 1}))
    assert rows(folder, "d.jsonl", token=True, trust_remote_code=True, cache_dir="x", video=False) == [{"n": 1}]


def test_the_source_names_no_place(folder):
    write(folder / "ds/data/test-00000-of-00001.jsonl", lines({"n": 1}))
    for path, kwargs in [
        ("ds", {}),
        (str(folder / "ds"), {}),
        ("json", {"data_files": {"test": str(folder / "ds/data/test-00000-of-00001.jsonl")}}),
    ]:
        source = load(DatasetSpec(path, None, "test", kwargs, {}, folder)).source
        assert "test-00000-of-00001.jsonl" in source and str(folder) not in source


def package(tmp_path, monkeypatch, version="2.1"):
    write(tmp_path / "site/tiny_bench/__init__.py", "raise RuntimeError('the package was imported')")
    write(tmp_path / "site/tiny_bench/data/test.json", '[["what?", 3]]')
    write(tmp_path / "site/tiny_bench/img/3.png", png(3))
    write(
        tmp_path / "site/tiny_bench-2.1.dist-info/METADATA",
        f"Metadata-Version: 2.1\nName: tiny-bench\nVersion: {version}\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_a_package_is_read_without_importing_it(folder, tmp_path, monkeypatch):
    package(tmp_path, monkeypatch)
    spec = DatasetSpec(
        "package:tiny-bench",
        None,
        "test",
        {"data_files": "data/test.json", "columns": ["q", "n"]},
        {"image": "img/{{ n }}.png"},
        folder,
    )
    loaded = load(spec)
    [doc] = loaded.rows
    assert content(doc["image"])[2] == png(3) and doc["q"] == "what?"
    assert loaded.source == "tiny_bench 2.1: data/test.json"
    assert "tiny_bench" not in sys.modules


def test_a_missing_package_of_an_extra_names_the_extra(folder, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused(folder, "package:easy_vqa").endswith("pip install easy-vqa, or pip install 'assay[demo]'.")
