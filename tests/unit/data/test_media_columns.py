"""Media of documents: templates, folders, and paths that come from data."""

from __future__ import annotations

import json

import pytest

from assay_api.errors import SpecError
from assay_runner.data.media_columns import MediaFiles, media_tree, with_media
from assay_runner.data.source import DatasetSpec, load
from assay_runner.media import Media, MediaError
from support.documents import png

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "task/images").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"task/images/{number}.png").write_bytes(png(number))
    (tmp_path / "secret.png").write_bytes(png(77))
    return tmp_path / "task"


def rows(folder, data, **media):
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    return list(load(DatasetSpec("d.jsonl", None, "test", {}, media, folder)).rows)


def refused(*args, **media):
    with pytest.raises(SpecError) as error:
        rows(*args, **media)
    return str(error.value)


def test_a_template_gives_the_path_of_a_file_which_is_not_copied(folder):
    [first, second] = rows(folder, [{"id": 2}, {"id": 0}], image="images/{{ id }}.png")
    assert first["image"].source == folder / "images/2.png"
    assert (first["image"].kind, first["image"].read(), second["image"].read()) == ("image", png(2), png(0))


def test_a_bare_column_takes_paths_and_lists_of_paths(folder):
    data = [{"p": "images/1.png", "many": ["images/0.png", None]}, {"p": None, "many": []}]
    [one, two] = rows(folder, data, image="{{ p }}", images="{{many}}")
    assert one["image"].read() == png(1) and two["image"] is None
    assert [medium and medium.read() for medium in one["images"]] == [png(0), None] and two["images"] == []


def test_what_renders_to_nothing_is_none(folder):
    assert rows(folder, [{"id": None}], image="{% if id %}images/{{ id }}.png{% endif %}")[0]["image"] is None


def test_a_template_may_leave_the_folder_where_data_may_not(folder):
    [doc] = rows(folder, [{"id": "secret"}], image="../{{ id }}.png")
    assert doc["image"].read() == png(77)
    assert "leads out of" in refused(folder, [{"id": "../etc/passwd"}], image="../{{ id }}.png")


@pytest.mark.parametrize("name", ["../secret", "images/../../secret", "/etc/passwd", "x\0y"])
def test_data_cannot_lead_out_of_the_dataset(folder, name):
    said = refused(folder, [{"id": "images/1"}, {"id": name}], image="{{ id }}.png")
    assert "document 1: " in said and "leads out of the dataset's folder" in said
    assert "leads out of" in refused(folder, [{"id": name + ".png"}], image="{{ id }}")


@pytest.mark.parametrize(
    ("data", "template", "message"),
    [
        (
            [{"id": 0}, {"id": 9}],
            "images/{{ id }}.png",
            "d.jsonl: document 1: {folder}/images/9.png cannot be read: No such file",
        ),
        ([{"id": 0}], "images/{{ number }}.png", "document 0: media.image cannot be rendered: 'number' is undefined"),
        ([{"id": 0}], "{{ number }}", "document 0: media.image needs a column number, and there is none"),
        ([{"id": 0}], "{{ id }}", "document 0: id is neither a path nor encoded bytes"),
        ([{"id": 0}], "d.jsonl{{ '' }}", "is no image, audio or video of a known format"),
        ([{"id": 0}], "images/{{ id", "media.image: the template cannot be read"),
        ([{"id": 0}], "{{ ''.__class__ }}", "cannot be rendered"),
    ],
)
def test_mistakes_are_told_with_document_and_path(folder, data, template, message):
    assert message.replace("{folder}", str(folder)) in refused(folder, data, image=template)


def media_folder(base, files):
    for name, data in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return base


def docs(folder, path, split="test", **kwargs):
    return list(load(DatasetSpec(path, None, split, kwargs, {}, folder)).rows)


@pytest.mark.parametrize("metadata", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_with_metadata(folder, metadata):
    table = {
        "metadata.jsonl": '{"file_name": "b.png", "text": "B"}\n{"file_name": "sub/a.png", "text": "A"}\n',
        "metadata.csv": "file_name,text\nb.png,B\nsub/a.png,A\n",
    }[metadata]
    media_folder(folder / "ds", {metadata: table, "b.png": png(1), "sub/a.png": png(2)})
    for found in (docs(folder, "ds"), docs(folder, "imagefolder", data_dir="ds")):
        assert [(doc["image"].read(), doc["text"]) for doc in found] == [(png(1), "B"), (png(2), "A")]


def test_metadata_per_split_with_several_files_per_row_and_audio(folder):
    row = {"file_name": "a.wav", "before_file_name": "x.png", "more_file_names": ["x.png", "y.png"], "n": 1}
    media_folder(
        folder / "ds",
        {
            "test/metadata.jsonl": json.dumps(row),
            "test/a.wav": WAV,
            "test/x.png": png(1),
            "test/y.png": png(2),
            "train/a.wav": WAV,
        },
    )
    [doc] = docs(folder, "ds")
    assert (doc["audio"].mime, doc["before"].read(), [medium.read() for medium in doc["more"]]) == (
        "audio/wav",
        png(1),
        [png(1), png(2)],
    )
    assert doc["n"] == 1 and "file_name" not in doc


def test_metadata_cannot_lead_out_of_the_folder(folder):
    media_folder(folder / "ds", {"metadata.jsonl": '{"file_name": "../../secret.png"}'})
    with pytest.raises(SpecError, match=r"document 0: .*leads out of"):
        docs(folder, "ds")


def test_class_folders_give_labels_that_are_the_same_in_every_split(folder):
    media_folder(folder / "ds", {"train/cat/1.png": png(1), "train/dog/2.png": png(2), "train/eel/3.png": png(3)})
    media_folder(folder / "ds", {"test/eel/b.png": png(4), "test/eel/a.png": png(5), "test/cat/z.png": png(6)})
    assert [(doc["image"].read(), doc["label"]) for doc in docs(folder, "ds")] == [
        (png(6), 0),
        (png(5), 2),
        (png(4), 2),
    ]
    assert [doc["label"] for doc in docs(folder, "ds", split="train")] == [0, 1, 2]


def test_class_folders_without_splits_serve_any_split(folder):
    media_folder(folder / "ds", {"cat/1.png": png(1), "dog/2.png": png(2)})
    assert [doc["label"] for doc in docs(folder, "ds")] == [0, 1]


def test_a_folder_of_images_beside_the_documents_is_no_split(folder):
    media_folder(folder / "ds", {"test.jsonl": '{"a": 1}\n', "images/1.png": png(1)})
    assert docs(folder, "ds") == [{"a": 1}]
    with pytest.raises(SpecError, match="its splits are: test"):
        docs(folder, "ds", split="dev")


IMAGE = {"_type": "Image"}


@pytest.mark.parametrize(
    ("feature", "tree"),
    [
        (IMAGE, True),
        ({"_type": "Value", "dtype": "string"}, None),
        ({"_type": "ClassLabel", "names": ["a"]}, None),
        ({"_type": "Sequence", "feature": IMAGE}, [True]),
        ([IMAGE], [True]),
        ({"_type": "List", "feature": {"_type": "Value", "dtype": "int8"}}, None),
        (
            {"a": IMAGE, "b": {"_type": "Value", "dtype": "int8"}, "c": {"d": {"_type": "Audio"}}},
            {"a": True, "c": {"d": True}},
        ),
        ({"_type": "Sequence", "feature": {"a": IMAGE, "b": {"_type": "Value", "dtype": "int8"}}}, {"a": [True]}),
    ],
)
def test_media_are_found_in_the_metadata_of_the_hub(feature, tree):
    assert media_tree(feature) == tree


def test_media_are_restored_wherever_they_are_nested(tmp_path):
    pair = {"bytes": png(1), "path": "x.png"}
    found = with_media(
        {"a": [pair, None], "c": {"d": pair, "e": 1}}, {"a": [True], "c": {"d": True}}, MediaFiles(tmp_path), "x"
    )
    assert (
        isinstance(found["a"][0], Media)
        and found["a"][1] is None
        and found["c"]["d"].read() == png(1)
        and found["c"]["e"] == 1
    )


def test_a_file_is_hashed_once(folder):
    files = MediaFiles(folder)
    assert files.get("images/1.png") is files.get("images/../images/1.png")


def test_files_may_lie_below_any_of_several_roots(folder, tmp_path):
    files = MediaFiles(folder, tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/1.png").write_bytes(png(1))
    assert files.get(str(tmp_path / "cache/1.png")).read() == png(1)
    with pytest.raises(MediaError):
        files.get(str(tmp_path / "secret.png"))
