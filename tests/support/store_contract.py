"""What every store promises, as tests: a test class that inherits these and has a fixture `store` checks its store."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from assay_runner.store.base import NotFoundInStore, StoreDenied

AWKWARD = ("a/b.c", "a/b/1", "a/b-", "a/b0", "a/bb", "a/ä ö+%&=?#'(1)~", "a/<x>&amp;", "z", "a0", "a/c/d/e/f")
IMPOSSIBLE = (
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/.tmp-1",
    ".tmp-x/a",
    "a\x00b",
    "a\nb",
    "a\udc80",
    "k" * 1025,
)


class StoreContract:
    def test_what_was_put_is_what_is_read(self, store):
        for data in (b"", b"x", bytes(range(256)) * 5000):
            store.put("folder/object", data)
            assert store.get("folder/object") == data

    def test_what_was_put_from_a_file_is_what_is_read_and_replaces_what_was_there(self, store, tmp_path):
        source = tmp_path.parent / f"{tmp_path.name}-source"
        store.put("folder/object", b"before")
        for data in (b"", bytes(range(256)) * 5000):
            source.write_bytes(data)
            store.put_file("folder/object", source)
            assert store.get("folder/object") == data and source.read_bytes() == data
        source.write_bytes(b"changed later")
        assert store.get("folder/object") == data
        assert list(store.list("")) == ["folder/object"]

    def test_a_file_that_cannot_be_read_is_named_and_changes_nothing(self, store, tmp_path):
        store.put("object", b"before")
        missing = tmp_path / "missing"
        with pytest.raises(StoreDenied, match=f"{missing} cannot be read: no such file"):
            store.put_file("object", missing)
        assert store.get("object") == b"before"

    def test_sweeping_leaves_objects_alone(self, store):
        store.put("folder/object", b"x")
        store.sweep("")
        store.sweep("folder/")
        store.sweep("no/such/folder/")
        assert store.get("folder/object") == b"x"

    def test_only_the_first_creation_counts(self, store):
        assert store.put_if_absent("once", b"first") is True
        assert store.put_if_absent("once", b"second") is False
        assert store.put_if_absent("once", b"first") is False
        assert store.get("once") == b"first"

    def test_an_object_that_was_put_cannot_be_created(self, store):
        store.put("there", b"put")
        assert store.put_if_absent("there", b"created") is False
        assert store.get("there") == b"put"

    def test_an_empty_object_is_an_object(self, store):
        assert store.put_if_absent("empty", b"") is True
        assert store.put_if_absent("empty", b"x") is False
        assert list(store.list("")) == ["empty"]

    def test_what_is_not_there_is_not_found(self, store):
        store.put("folder/object", b"x")
        for key in ("nothing", "folder", "folder/nothing", "folder/object/below"):
            with pytest.raises(NotFoundInStore, match="does not exist"):
                store.get(key)

    def test_listing_gives_whole_keys_in_the_order_of_their_bytes(self, store):
        for key in AWKWARD:
            store.put(key, b"x")
        assert list(store.list("")) == sorted(AWKWARD)
        assert list(store.list("a/")) == sorted(key for key in AWKWARD if key.startswith("a/"))
        assert list(store.list("a/b/")) == ["a/b/1"]

    def test_listing_without_recursion_gives_only_objects_that_lie_there(self, store):
        for key in AWKWARD:
            store.put(key, b"x")
        assert list(store.list("a/", recursive=False)) == sorted(
            key for key in AWKWARD if key.startswith("a/") and key.count("/") == 1
        )
        assert list(store.list("", recursive=False)) == ["a0", "z"]

    def test_nothing_lies_below_what_was_never_written(self, store):
        assert list(store.list("")) == []
        assert list(store.list("no/such/folder/")) == []

    def test_listed_keys_can_be_read(self, store):
        for key in AWKWARD:
            store.put(key, key.encode())
        assert {key: store.get(key).decode() for key in store.list("")} == {key: key for key in AWKWARD}

    def test_what_was_deleted_is_gone_and_its_neighbours_stay(self, store):
        for key in AWKWARD:
            store.put(key, b"x")
        store.delete("a/b.c")
        store.delete("a/c/d/e/f")
        assert list(store.list("")) == sorted(set(AWKWARD) - {"a/b.c", "a/c/d/e/f"})
        with pytest.raises(NotFoundInStore):
            store.get("a/b.c")
        assert store.put_if_absent("a/c/d/e/f", b"again") is True

    def test_deleting_what_is_not_there_is_harmless(self, store):
        store.put("folder/object", b"x")
        for key in ("nothing", "folder/nothing", "no/such/folder/object", "folder/object/below"):
            store.delete(key)
        assert list(store.list("")) == ["folder/object"]

    @pytest.mark.parametrize("key", IMPOSSIBLE, ids=ascii)
    def test_a_key_that_leads_astray_is_refused(self, store, key):
        for operation in (
            store.get,
            store.delete,
            lambda key: store.put(key, b"x"),
            lambda key: store.put_if_absent(key, b"x"),
        ):
            with pytest.raises(StoreDenied, match="cannot be a key"):
                operation(key)

    @pytest.mark.parametrize("prefix", ("a", "/", "../", "a//", "a/../"))
    def test_a_prefix_that_is_no_folder_is_refused(self, store, prefix):
        with pytest.raises(StoreDenied, match="cannot be a folder"):
            list(store.list(prefix))

    def test_the_address_names_the_store_and_the_key(self, store):
        assert not store.uri.endswith("/")
        assert store.location("a/b").endswith("/a/b")
        assert store.uri.partition("://")[2] + "/a/b" == store.location("a/b").removeprefix("s3://")


class ExclusiveContract:
    def test_of_many_writers_exactly_one_wins_and_its_bytes_stay(self, store):
        writers, rounds = 16, 25
        start = Barrier(writers)

        def create(number, key):
            start.wait(60)
            return store.put_if_absent(key, f"writer {number}".encode() * 500)

        with ThreadPoolExecutor(writers) as pool:
            for round_ in range(rounds):
                key = f"race/{round_}/marker"
                won = [n for n, created in enumerate(pool.map(create, range(writers), [key] * writers)) if created]
                assert len(won) == 1
                assert store.get(key) == f"writer {won[0]}".encode() * 500
