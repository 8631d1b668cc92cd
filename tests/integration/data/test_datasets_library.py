"""Documents through the real `datasets` library: its files and features, `process_docs`, the hub without a network."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from PIL import Image

from assay_api.errors import Failed, SpecError
from assay_runner.data.documents import Documents, stage
from assay_runner.data.source import DatasetSpec, load
from assay_runner.media import Media
from support.documents import MemoryStore, content, png

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


def picture(data: bytes) -> dict:
    return {"bytes": data, "path": "x.png"}


@pytest.fixture
def saved(tmp_path) -> datasets.Dataset:
    """Ten rows with an image, a list of images, a sound, a class and a struct, as the hub's datasets have them."""
    features = datasets.Features(
        {
            "id": datasets.Value("int64"),
            "image": datasets.Image(),
            "images": datasets.List(datasets.Image()),
            "sound": datasets.Audio(),
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
            "extra": {"when": datasets.Value("timestamp[s]"), "photo": datasets.Image()},
        }
    )
    columns = {
        "id": list(range(10)),
        "image": [picture(png(n)) if n != 3 else None for n in range(10)],
        "images": [[picture(png(n)), picture(png(n + 1))][: n % 3] for n in range(10)],
        "sound": [{"bytes": WAV + bytes([n]), "path": "a.wav"} for n in range(10)],
        "kind": [n % 2 for n in range(10)],
        "extra": [{"when": 1767323045, "photo": picture(png(n))} for n in range(10)],
    }
    return datasets.Dataset.from_dict(columns).cast(features)  # encoding sounds would need torchcodec


def check(docs: list[dict]) -> None:
    assert [doc["id"] for doc in docs] == list(range(10))
    assert docs[3]["image"] is None
    assert [doc["image"].read() for doc in docs if doc["image"]] == [png(n) for n in range(10) if n != 3]
    assert [[medium.read() for medium in doc["images"]] for doc in docs] == [
        [png(n), png(n + 1)][: n % 3] for n in range(10)
    ]
    assert [doc["sound"].read() for doc in docs] == [WAV + bytes([n]) for n in range(10)]
    assert [doc["kind"] for doc in docs] == [n % 2 for n in range(10)]
    assert docs[4]["extra"]["when"] == "2026-01-02T03:04:05"
    assert docs[4]["extra"]["photo"].read() == png(4)


def test_parquet_arrow_and_saved_folders_hold_the_same_documents(saved, tmp_path):
    (tmp_path / "parquet/data").mkdir(parents=True)
    saved.to_parquet(str(tmp_path / "parquet/data/test-00000-of-00001.parquet"))
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": saved, "train": saved.select([0])}).save_to_disk(str(tmp_path / "splits"))
    found = set()
    for path in ("parquet", "one", "splits", "parquet/data/test-00000-of-00001.parquet"):
        docs = list(load(DatasetSpec(path, None, "test", folder=tmp_path)).rows)
        check(docs)
        found.add(stage(MemoryStore(), docs, path, in_place=False).fingerprint)
    assert len(found) == 1
    with pytest.raises(SpecError, match="its splits are: test, train"):
        load(DatasetSpec("splits", None, "dev", folder=tmp_path))


def test_local_files_are_loaded_without_importing_heavy_libraries(saved, tmp_path):
    saved.to_parquet(str(tmp_path / "test.parquet"))
    (tmp_path / "d.jsonl").write_text('{"a": 1}\n')
    program = """
import sys
from pathlib import Path
from assay_runner.data.documents import Documents, stage
from assay_runner.data.source import DatasetSpec, load
list(load(DatasetSpec("d.jsonl", None, "test", folder=Path(sys.argv[1]))).rows)
assert not {"datasets", "torch", "pyarrow", "pandas", "numpy", "PIL", "boto3"} & set(sys.modules)
list(load(DatasetSpec("test.parquet", None, "test", folder=Path(sys.argv[1]))).rows)
assert not {"datasets", "torch", "PIL"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_process_docs_gets_a_dataset_and_untouched_media_come_back_as_they_were(saved, tmp_path):
    saved.remove_columns(["extra"]).to_parquet(str(tmp_path / "test.parquet"))

    def process(dataset):
        assert isinstance(dataset, datasets.Dataset)
        assert isinstance(dataset.select_columns("image")[0]["image"], Image.Image)
        kept = dataset.filter(lambda row: row["id"] % 2 == 0).map(lambda row: {"question": f"what is {row['id']}?"})
        return kept.shuffle(seed=1)

    docs = list(load(DatasetSpec("test.parquet", None, "test", folder=tmp_path), process, limit=4).rows)
    assert len(docs) == 4 and all(doc["id"] % 2 == 0 for doc in docs)
    for doc in docs:
        assert doc["image"].read() == png(doc["id"])
        assert doc["question"] == f"what is {doc['id']}?"
        assert [medium.read() for medium in doc["images"]] == [png(doc["id"]), png(doc["id"] + 1)][: doc["id"] % 3]
        assert doc["sound"].read() == WAV + bytes([doc["id"]])


def test_process_docs_leaves_media_in_their_files(tmp_path):
    (tmp_path / "img").mkdir()
    for number in range(3):
        (tmp_path / f"img/{number}.png").write_bytes(png(number))
    (tmp_path / "d.csv").write_text("id\n0\n1\n2\n")
    spec = DatasetSpec("d.csv", None, "test", media={"image": "img/{{ id }}.png"}, folder=tmp_path)
    docs = list(load(spec, lambda dataset: dataset.select([2, 0])).rows)
    assert [doc["image"].source for doc in docs] == [tmp_path / "img/2.png", tmp_path / "img/0.png"]


def test_an_image_that_process_docs_makes_is_kept(saved, tmp_path):
    saved.select_columns(["id", "image"]).select([0, 1]).to_parquet(str(tmp_path / "test.parquet"))

    def bigger(dataset):
        return dataset.map(lambda row: {"image": row["image"].resize((8, 8))})

    docs = list(load(DatasetSpec("test.parquet", None, "test", folder=tmp_path), bigger).rows)
    assert [Image.open(io.BytesIO(doc["image"].read())).size for doc in docs] == [(8, 8), (8, 8)]


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (lambda dataset: 1 / 0, "process_docs: the function failed with ZeroDivisionError: division by zero"),
        (lambda dataset: sys.exit(3), "process_docs: the function failed with SystemExit: 3"),
        (lambda dataset: dataset.map(lambda row: {"a": row["b"]}), "process_docs: the function failed with KeyError"),
        (lambda dataset: 3, "process_docs: the function answered a int"),
        (lambda dataset: [{"a": object()}], "document 0: a: a object cannot be kept in a document"),
        (lambda dataset: dataset.select([]), "split test of d.jsonl has no documents after process_docs"),
    ],
)
def test_a_broken_process_docs_is_told_in_a_sentence(tmp_path, process, message):
    (tmp_path / "d.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(SpecError) as error:
        list(load(DatasetSpec("d.jsonl", None, "test", folder=tmp_path), process).rows)
    assert message in str(error.value)


def test_rows_that_do_not_share_types_are_refused_for_process_docs_only(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"a": 1}\n{"a": "x"}\n')
    spec = DatasetSpec("d.jsonl", None, "test", folder=tmp_path)
    assert list(load(spec).rows) == [{"a": 1}, {"a": "x"}]
    with pytest.raises(SpecError, match="the documents do not fit into typed columns"):
        load(spec, lambda dataset: dataset)


def test_columns_that_only_later_rows_have_reach_process_docs(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"a": 1}\n{"a": 2, "b": "x"}\n')
    docs = list(load(DatasetSpec("d.jsonl", None, "test", folder=tmp_path), lambda dataset: dataset).rows)
    assert docs == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


PROGRAM = """
import sys
from pathlib import Path
from assay_api.errors import AssayError
from assay_runner.data.source import DatasetSpec, load
try:
    loaded = load(DatasetSpec(sys.argv[1], sys.argv[2] or None, sys.argv[3], folder=Path("/")))
    print(loaded.source, [(doc["id"], doc["image"].read() if doc["image"] else None) for doc in loaded.rows][1])
except AssayError as error:
    print(type(error).__name__, error)
"""


def offline(home: Path, path: str, name: str, split: str) -> str:
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, path, name, split], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def hub(saved, tmp_path) -> Path:
    """A cache as a download of `someone/pictures` leaves it."""
    (tmp_path / "pictures/data").mkdir(parents=True)
    saved.to_parquet(str(tmp_path / "pictures/data/test-00000-of-00001.parquet"))
    cache = tmp_path / "home/datasets"
    datasets.load_dataset(str(tmp_path / "pictures"), cache_dir=str(cache))
    [built] = [path.parent for path in cache.rglob("dataset_info.json")]
    target = cache / "someone___pictures/default/0.0.0" / built.name
    target.parent.mkdir(parents=True)
    built.rename(target)
    return tmp_path / "home"


def test_a_dataset_of_the_hub_is_read_from_its_cache_without_a_network(hub):
    assert offline(hub, "someone/pictures", "", "test") == f"someone/pictures [test] (1, {png(1)!r})"


def test_what_the_cached_dataset_lacks_is_named(hub):
    said = offline(hub, "someone/pictures", "", "train")
    assert said.startswith("SpecError") and "has no split 'train'; its splits are: test" in said
    said = offline(hub, "someone/pictures", "algebra", "test")
    assert said.startswith(("SpecError", "Failed")) and "someone/pictures" in said


def test_a_dataset_that_is_not_cached_is_one_sentence_without_a_network(tmp_path):
    said = offline(tmp_path, "someone/else", "", "test")
    assert said.startswith("Failed The hub cannot be reached for dataset someone/else")
    assert "\n" not in said and "Traceback" not in said


def with_errors(error):
    class Library:
        exceptions = datasets.exceptions

        @staticmethod
        def load_dataset(*args, **kwargs):
            raise error

    return Library


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub or cannot be accessed."),
            SpecError,
            "dataset_path: there is no dataset a/b here or on the hub",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub."),
            SpecError,
            "is gated",
        ),
        (
            RuntimeError("Dataset scripts are no longer supported, but found b.py"),
            SpecError,
            "Python code of its own, which Assay",
        ),
        (
            ValueError("BuilderConfig 'x' not found. Available: ['main', 'socratic']"),
            SpecError,
            "its parts are: 'main', 'socratic'",
        ),
        (
            ValueError("Config name is missing.\nPlease pick one among the available configs: ['abc', 'def']"),
            SpecError,
            "name one of: 'abc', 'def'",
        ),
        (
            ValueError("Unknown split \"dev\". Should be one of ['train', 'test']."),
            SpecError,
            "its splits are: test, train",
        ),
        (ConnectionError("Couldn't reach 'a/b' on the Hub (ConnectTimeout)"), Failed, "The hub cannot be reached"),
        (TypeError("__init__() got an unexpected keyword argument 'q'"), SpecError, "cannot be loaded (TypeError: "),
    ],
)
def test_failures_of_the_library_become_sentences(error, kind, message):
    from assay_runner.data.hub import load_hub

    with pytest.raises(kind) as found:
        load_hub(DatasetSpec("a/b", "x", "dev"), {}, with_errors(error))
    assert message in str(found.value) and "\n" not in str(found.value)


def test_data_files_that_lie_elsewhere_are_left_to_the_library(tmp_path):
    asked = {}

    class Library:
        exceptions = datasets.exceptions

        @staticmethod
        def load_dataset(path, name, **kwargs):
            asked.update(kwargs, path=path)
            return datasets.Dataset.from_dict({"a": [1]})

    from assay_runner.data.hub import load_hub
    from assay_runner.data.locate import locate

    files = {"test": ["https://example.org/t.jsonl", "near.jsonl"]}
    spec = DatasetSpec("json", None, "test", {"data_files": files}, folder=tmp_path)
    assert locate(spec, dict(spec.kwargs)) is None
    load_hub(spec, dict(spec.kwargs), Library)
    assert asked == {
        "path": "json",
        "split": "test",
        "data_files": {"test": ["https://example.org/t.jsonl", str(tmp_path / "near.jsonl")]},
    }


def test_documents_with_media_survive_the_whole_way(saved, tmp_path):
    saved.to_parquet(str(tmp_path / "test.parquet"))
    docs = list(load(DatasetSpec("test.parquet", None, "test", folder=tmp_path)).rows)
    store = MemoryStore()
    read = Documents(store, stage(store, docs, "source", in_place=False)).read(2, 9)
    assert content(read) == content(docs[2:9])
    assert isinstance(read[0]["image"], Media)


EDITED = """
import sys
from assay_runner.data.processing import import_datasets
from assay_runner.data.source import DatasetSpec
sys.path.insert(0, sys.argv[2])
import edited
library = import_datasets(DatasetSpec("owner/name", None, "train"))
print(library.load_dataset("parquet", data_files=sys.argv[1], split="train").map(edited.each)["q"][:])
"""


def test_an_edited_function_is_never_answered_from_the_librarys_cache(tmp_path):
    """The library tells functions of a module apart by their names alone, and keeps what it made of a hub's dataset."""
    datasets.Dataset.from_dict({"q": ["a", "b"]}).to_parquet(tmp_path / "test.parquet")
    code, env = tmp_path / "code", {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    code.mkdir()
    printed = []
    for word in ("one", "two"):
        (code / "edited.py").write_text(f"def each(row):\n    return {{'q': row['q'] + '{word}'}}\n")
        command = [sys.executable, "-B", "-c", EDITED, str(tmp_path / "test.parquet"), str(code)]
        printed.append(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip())
    assert printed == ["['aone', 'bone']", "['atwo', 'btwo']"]
