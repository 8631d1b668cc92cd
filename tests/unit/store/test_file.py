"""A folder never shows anything unfinished, and says in a sentence why it cannot be written."""

import errno
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.file import FileStore
from support.store_contract import ExclusiveContract, StoreContract

WRITER = """
import hashlib, itertools, random, sys
from pathlib import Path
from assay_runner.store.file import FileStore

store = FileStore(Path(sys.argv[1]))
bodies = [random.Random(seed).randbytes(4_000_000) for seed in range(3)]
versions = [hashlib.sha256(body).digest() + body for body in bodies]
for number in itertools.count():
    store.put("again", versions[number % 3])
    if store.put_if_absent(f"once/{number}", versions[number % 3]):
        print(f"once/{number}", flush=True)
"""


def whole(data):
    return hashlib.sha256(data[32:]).digest() == data[:32]


@pytest.fixture
def quick_folder(tmp_path):
    """In memory where the system has such a folder: syncing takes no time there, so that most kills hit a write."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_writer_leaves_only_complete_objects_and_all_it_acknowledged(quick_folder, seed):
    store = FileStore(quick_folder)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(quick_folder)], stdout=subprocess.PIPE, text=True
    ) as writer:
        acknowledged = [writer.stdout.readline().strip()]
        time.sleep(random.Random(seed).uniform(0.0, 0.06))
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
    listed = list(store.list(""))
    assert [key for key in listed if not whole(store.get(key))] == []
    assert set(acknowledged) <= set(listed)
    assert all(key == "again" or key.startswith("once/") for key in listed)


def test_readers_see_the_old_or_the_new_bytes_while_an_object_is_replaced(tmp_path):
    store = FileStore(tmp_path)
    versions = [bytes([n]) * 300_000 for n in range(20)]
    store.put("object", versions[0])

    def read(_):
        return store.get("object")

    with ThreadPoolExecutor(4) as pool:
        seen = pool.map(read, range(200))
        for version in versions:
            store.put("object", version)
        assert set(seen) <= set(versions)


@pytest.mark.parametrize("write", [FileStore.put, FileStore.put_if_absent])
def test_bytes_reach_the_disk_before_their_name_and_the_name_before_the_answer(tmp_path, monkeypatch, write):
    store, steps = FileStore(tmp_path), []
    fsync, link, replace = os.fsync, os.link, Path.replace

    def record(step, call):
        def recorded(*arguments):
            steps.append(step(*arguments) if callable(step) else step)
            return call(*arguments)

        return recorded

    def synced(descriptor):
        return "sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync bytes"

    monkeypatch.setattr(os, "fsync", record(synced, fsync))
    monkeypatch.setattr(os, "link", record("name", link))
    monkeypatch.setattr(Path, "replace", record("name", replace))
    write(store, "new/object", b"x")
    assert steps == ["sync folder", "sync bytes", "name", "sync folder"]


def test_unfinished_files_are_neither_listed_nor_readable(tmp_path):
    store = FileStore(tmp_path)
    store.put("folder/object", b"x")
    (tmp_path / "folder" / ".tmp-0123").write_bytes(b"half")
    assert list(store.list("")) == ["folder/object"]
    with pytest.raises(StoreDenied):
        store.get("folder/.tmp-0123")


def test_nothing_temporary_remains_after_writes_won_or_lost(tmp_path):
    store = FileStore(tmp_path)
    store.put("a/b", b"x")
    store.put_if_absent("a/b", b"y")
    store.put_if_absent("a/c", b"y")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["b", "c"]


def test_a_link_whose_answer_was_lost_counts_as_made(tmp_path, monkeypatch):
    link = os.link

    def link_and_forget(source, target):
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link_and_forget)
    store = FileStore(tmp_path)
    assert store.put_if_absent("marker", b"mine") is True
    assert store.put_if_absent("marker", b"later") is False
    assert store.get("marker") == b"mine"


def test_a_rival_that_links_first_wins(tmp_path, monkeypatch):
    link = os.link

    def beaten(source, target):
        Path(target).write_bytes(b"rival")
        link(source, target)

    monkeypatch.setattr(os, "link", beaten)
    store = FileStore(tmp_path)
    assert store.put_if_absent("marker", b"mine") is False
    assert store.get("marker") == b"rival"


class TestWithoutHardLinks(StoreContract, ExclusiveContract):
    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        def refuse(source, target):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "link", refuse)
        return FileStore(tmp_path)


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, StoreDenied, "no space is left on the device; free some"),
        (errno.EDQUOT, StoreDenied, "the disk quota is used up"),
        (errno.EROFS, StoreDenied, "the file system is read-only"),
        (errno.EACCES, StoreDenied, "permission is denied"),
        (errno.EIO, StoreUnavailable, "could not be written: Input/output error"),
    ],
)
@pytest.mark.parametrize("write", [FileStore.put, FileStore.put_if_absent])
def test_a_write_the_system_refuses_names_the_path_and_the_reason(tmp_path, monkeypatch, number, error, words, write):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(error, match=words) as caught:
        write(FileStore(tmp_path), "object", b"x")
    assert str(tmp_path / "object") in str(caught.value)
    assert list(FileStore(tmp_path).list("")) == []


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StoreDenied, match="is not a folder"):
        FileStore(tmp_path / "file" / "root").put("object", b"x")
    with pytest.raises(StoreDenied, match="is not a folder"):
        FileStore(tmp_path).put_if_absent("file/object", b"x")


def test_a_folder_where_an_object_is_needed_is_named(tmp_path):
    store = FileStore(tmp_path)
    store.put("folder/object", b"x")
    for write in (store.put, store.put_if_absent):
        with pytest.raises(StoreDenied, match="there is a folder of that name"):
            write("folder", b"x")


def test_a_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(StoreDenied, match="name is too long"):
        FileStore(tmp_path).put("n" * 300, b"x")


def test_a_read_that_met_a_replaced_file_is_repeated(tmp_path, monkeypatch):
    store = FileStore(tmp_path)
    store.put("object", b"x")
    read, failures = Path.read_bytes, [OSError(errno.ESTALE, "Stale file handle")] * 2

    def stale(path):
        if failures:
            raise failures.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", stale)
    assert store.get("object") == b"x"


def test_a_folder_moved_to_another_disk_is_listed_through_its_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    FileStore(elsewhere).put("object", b"x")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "data").symlink_to(elsewhere)
    assert list(FileStore(tmp_path / "root").list("")) == ["data/object"]


def test_what_is_missing_is_named_by_its_path(tmp_path):
    with pytest.raises(NotFoundInStore, match=f"^{tmp_path}/plan.json does not exist in the store"):
        FileStore(tmp_path).get("plan.json")


part = st.text(st.sampled_from("ab-./0~ä"), min_size=1, max_size=3).filter(
    lambda text: "/" not in text and text not in (".", "..")
)


@given(st.sets(st.lists(part, min_size=1, max_size=3).map("/".join), max_size=12))
def test_a_walk_over_any_tree_gives_the_order_of_whole_keys(tmp_path_factory, keys):
    keys = {key for key in keys if not any(other.startswith(key + "/") for other in keys)}
    store = FileStore(tmp_path_factory.mktemp("tree"))
    for key in keys:
        path = Path(store.location(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(store.list("")) == sorted(keys)


def test_a_place_where_no_folder_can_be_made_is_named():
    with pytest.raises(StoreUnavailable, match=r"/proc/nowhere/a could not be written: No such file or directory"):
        FileStore(Path("/proc/nowhere")).put("a", b"")


def test_writers_that_make_the_same_new_folders_at_once_do_not_trip_over_each_other(tmp_path):
    for turn in range(40):
        store, start = FileStore(tmp_path / str(turn) / "new"), threading.Barrier(12)

        def write(number, store=store, start=start):
            start.wait()
            store.put(f"a/b/c/{number}", b"x")

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(write, range(12)))
        assert len(list(store.list("a/"))) == 12


def test_a_folder_that_cannot_be_removed_is_no_failure_of_a_deletion(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    store = FileStore(root)
    store.put("link/a", b"1")
    store.delete("link/a")
    assert not (tmp_path / "elsewhere" / "a").exists() and (root / "link").is_symlink()
