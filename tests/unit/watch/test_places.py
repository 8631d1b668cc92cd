"""What lies below a prefix, in a bucket and on a volume: the same answers."""

import os

import pytest

from assay_api.errors import SpecError
from assay_runner.store.base import StoreDenied
from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
from assay_runner.watch.places import FolderPlace, S3Place, open_place
from support.faulty_s3 import FaultyS3, MemoryS3


class Folder:
    def __init__(self, path):
        self.path, self.place = path, FolderPlace(path)

    def write(self, key, text="x"):
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_text(text)


class Bucket:
    def __init__(self, store):
        self.store, self.place = store, S3Place(store)

    def write(self, key, text="x"):
        self.store.put(key, text.encode())


@pytest.fixture(scope="module")
def client():
    with FaultyS3(MemoryS3()) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
        yield server, make_client(server.endpoint, "us-east-1", {})


@pytest.fixture(params=["folder", "bucket"])
def there(request, tmp_path, client):
    if request.param == "folder":
        return Folder(tmp_path)
    server, s3 = client
    server.upstream = MemoryS3(page=2)
    return Bucket(S3Store("bucket", "train/run", s3))


def children(there):
    return {child.name: child for child in there.place.children()}


def test_folders_and_files_directly_below_are_told_apart_over_many_pages(there):
    for number in range(5):
        there.write(f"checkpoint-{number}/deep/weights")
        there.write(f"file-{number}")
    found = children(there)
    assert sorted(name for name, child in found.items() if child.folder) == [f"checkpoint-{n}" for n in range(5)]
    assert sorted(name for name, child in found.items() if not child.folder) == [f"file-{n}" for n in range(5)]


def test_a_state_changes_with_any_file_that_comes_or_grows(there):
    there.write("c/a")
    there.write("c/deep/b")
    there.write("single")
    first, single = there.place.state(children(there)["c"]), there.place.state(children(there)["single"])
    assert first == there.place.state(children(there)["c"])
    there.write("c/deep/b", "longer")
    second = there.place.state(children(there)["c"])
    there.write("c/late")
    assert len({first, second, there.place.state(children(there)["c"])}) == 3
    there.write("single", "longer")
    assert there.place.state(children(there)["single"]) != single


def test_a_ready_file_is_one_of_the_checkpoint_itself(there):
    there.write("c/deep/DONE")
    there.write("d/DONE")
    there.write("DONE")
    assert {name: there.place.holds(child, "DONE") for name, child in children(there).items()} == {
        "c": False, "d": True, "DONE": False,
    }  # fmt: skip


def test_nothing_is_there_before_anything_was_written(there):
    assert children(there) == {}


def test_a_folder_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StoreDenied, match=r"spec\.watch\.uri"):
        list(FolderPlace(tmp_path).children())


@pytest.mark.parametrize("uri", ["relative/folder", "gs://bucket"])
def test_only_prefixes_and_folders_can_be_watched(uri):
    with pytest.raises(SpecError, match="s3://bucket/prefix"):
        open_place(uri)
    assert isinstance(open_place("file:///data/run"), FolderPlace)
