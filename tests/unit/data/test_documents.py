from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay_api.errors import Corrupt, Failed, SpecError
from assay_runner.data.blocks import DataIndex
from assay_runner.data.documents import Documents, stage
from assay_runner.media import MediaError, from_bytes, from_file
from assay_runner.store.base import StoreUnavailable
from support.documents import DOCS, MemoryStore, content, png, questions


def in_files(folder: Path, docs):
    """The same documents with their media in files."""
    folder.mkdir(exist_ok=True)
    moved = []
    for doc in docs:
        path = folder / f"{doc['image'].sha256}.png"
        path.write_bytes(doc["image"].read())
        moved.append(doc | {"image": from_file(path)})
    return moved


@settings(max_examples=40)
@given(st.lists(DOCS, max_size=30), st.data())
def test_any_range_of_staged_documents_comes_back_exactly(docs, data):
    store = MemoryStore()
    pin = stage(store, iter(docs), "source", in_place=False)
    start = data.draw(st.integers(0, len(docs)))
    stop = data.draw(st.integers(start, len(docs)))
    assert content(Documents(store, pin).read(start, stop)) == content(docs[start:stop])
    assert (pin.documents, pin.source) == (len(docs), "source")


def test_ranges_across_blocks_come_back_exactly(store):
    docs = questions(700)
    pin = stage(store, docs, "source", in_place=False)
    read = Documents(store, pin)
    assert len(read) == 700
    for start, stop in [(0, 700), (255, 257), (256, 512), (699, 700), (0, 0), (700, 700), (10, 11)]:
        assert content(read.read(start, stop)) == content(docs[start:stop])
    assert content(list(read)) == content(docs)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 701)])
def test_a_range_outside_of_the_documents_is_refused(store, start, stop):
    read = Documents(store, stage(store, questions(700), "source", in_place=False))
    with pytest.raises(IndexError):
        read.read(start, stop)


def test_only_the_blocks_of_the_range_are_fetched_and_only_once(store):
    pin = stage(store, questions(700), "source", in_place=False)
    read = Documents(store, pin)
    assert store.gets == []
    for _ in range(3):
        read.read(300, 310)
    assert len(store.gets) == 2  # the index and one block


def test_documents_that_are_changed_by_their_reader_stay_as_they_are_for_the_next(store):
    read = Documents(store, stage(store, [{"tags": ["a"]}], "source", in_place=False))
    read.read(0, 1)[0]["tags"].append("b")
    assert read.read(0, 1) == [{"tags": ["a"]}]


def test_the_fingerprint_is_the_same_in_place_and_staged_and_both_read_the_same(tmp_path):
    docs = questions(600)
    moved = in_files(tmp_path / "a", docs)
    one, other, third = MemoryStore(), MemoryStore(), MemoryStore()
    pins = [
        stage(one, docs, "source", in_place=False),
        stage(other, moved, "source", in_place=True),
        stage(third, moved, "source", in_place=False),
    ]
    assert len({pin.fingerprint for pin in pins}) == 1
    read = [content(Documents(store, pin).read(250, 600)) for store, pin in zip((one, other, third), pins, strict=True)]
    assert read[0] == read[1] == read[2]


def test_in_place_leaves_media_in_their_files(tmp_path, store):
    moved = in_files(tmp_path / "a", questions(20))
    pin = stage(store, moved, "source", in_place=True)
    assert {Path(key).name for key in store.objects if "index" in key} == {"index-local.json"}
    assert not any(doc["image"].read() in data for doc in moved for data in store.objects.values())
    assert [doc["image"].source for doc in Documents(store, pin).read(0, 20)] == [doc["image"].source for doc in moved]


def test_in_place_without_files_is_portable(store):
    pin = stage(store, questions(20), "source", in_place=True)
    assert f"data/{pin.fingerprint}/index.json" in store.objects


def test_a_file_changed_after_it_was_planned_is_refused_when_it_is_read(tmp_path, store):
    moved = in_files(tmp_path / "a", questions(7))
    pin = stage(store, moved, "source", in_place=True)
    moved[0]["image"].source.write_bytes(png(99))
    with pytest.raises(MediaError, match="no longer the file that was planned"):
        Documents(store, pin).read(0, 1)[0]["image"].read()


def test_paths_of_another_machine_give_way_to_a_copy_that_both_can_read(tmp_path, store):
    there = in_files(tmp_path / "there", questions(20))
    here = in_files(tmp_path / "here", questions(20))
    pin = stage(store, there, "source", in_place=True)
    for doc in there:
        doc["image"].source.unlink(missing_ok=True)
    assert stage(store, iter(here), "source", in_place=True) == pin
    assert content(Documents(store, pin).read(0, 20)) == content(questions(20))
    assert {Path(key).name for key in store.objects if "index" in key} == {"index-local.json", "index.json"}


def test_staging_in_place_again_copies_nothing(tmp_path, store):
    moved = in_files(tmp_path / "a", questions(20))
    pin = stage(store, moved, "source", in_place=True)
    before = dict(store.objects)
    assert stage(store, moved, "source", in_place=True) == pin
    assert store.objects == before


def test_staging_again_sends_almost_nothing(store):
    docs = [{"image": from_bytes(png(n, padding=1 << 20)), "n": n} for n in range(20)] + questions(2000)
    pin = stage(store, docs, "source", in_place=False)
    before = dict(store.objects)
    store.sent.clear()
    assert stage(store, docs, "other name", in_place=False).fingerprint == pin.fingerprint
    assert store.objects == before
    assert len(store.sent) == 3  # one medium and one block to find out, and the index


def test_large_media_are_objects_of_their_own_shared_and_fetched_only_for_their_rows(store):
    big = [from_bytes(png(n, padding=2 << 20)) for n in range(3)]
    docs = [{"n": n, "image": big[n % 3]} for n in range(300)]
    pin = stage(store, docs, "source", in_place=False)
    assert sorted(key for key in store.objects if "/media/" in key) == sorted(
        f"data/media/{medium.sha256}" for medium in big
    )
    read = Documents(store, pin)
    assert content(read.read(4, 5)) == content(docs[4:5])
    assert [key for key in store.gets if "/media/" in key] == [f"data/media/{big[1].sha256}"]
    assert content(read.read(0, 300)) == content(docs)


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete", "swap"])
def test_any_damage_to_any_object_is_detected_and_named(how):
    docs = questions(600) + [{"id": 0, "question": "", "image": from_bytes(png(n, padding=2 << 20))} for n in range(2)]
    whole = MemoryStore()
    pin = stage(whole, docs, "source", in_place=False)
    assert len(whole.objects) >= 6
    for key in whole.objects:
        broken = MemoryStore()
        broken.objects = dict(whole.objects)
        data = whole.objects[key]
        if how == "delete":
            del broken.objects[key]
        else:
            place = random.Random(key).randrange(len(data) - 2)
            others = [other for name, other in whole.objects.items() if name != key]
            broken.objects[key] = {
                "flip": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
                "truncate": data[:place],
                "empty": b"",
                "swap": others[0],
            }[how]
        with pytest.raises(Corrupt) as error:
            for doc in Documents(broken, pin).read(0, len(docs)):
                doc["image"].read()
        assert broken.location(key) in str(error.value)


def test_an_index_of_other_documents_is_refused(store):
    pin = stage(store, questions(10), "source", in_place=False)
    other = stage(store, questions(11), "source", in_place=False)
    store.objects[f"data/{pin.fingerprint}/index.json"] = store.objects[f"data/{other.fingerprint}/index.json"]
    with pytest.raises(Corrupt, match="index of other documents"):
        Documents(store, pin).read(0, 1)
    with pytest.raises(Corrupt, match="index of other documents"):
        stage(store, questions(10), "source", in_place=False)


def test_a_lost_block_is_restored_by_staging_again(store):
    pin = stage(store, questions(600), "source", in_place=False)
    lost = next(key for key in store.objects if "/blocks/" in key)
    del store.objects[lost]
    stage(store, questions(600), "source", in_place=False)
    assert content(Documents(store, pin).read(0, 600)) == content(questions(600))


def test_nothing_refers_to_documents_whose_staging_died(store):
    def dying():
        yield from questions(300)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        stage(store, dying(), "source", in_place=False)
    assert not [key for key in store.objects if "index" in key]


def test_a_file_that_changes_while_it_is_staged_is_refused(tmp_path, store):
    moved = in_files(tmp_path / "a", questions(7))
    moved[0]["image"].source.write_bytes(png(99))
    with pytest.raises(Failed, match="no longer the file"):
        stage(store, moved, "source", in_place=False)


def test_a_store_that_does_not_answer_is_not_taken_for_corruption(store, monkeypatch):
    pin = stage(store, questions(7), "source", in_place=False)

    def silent(key):
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "get", silent)
    with pytest.raises(StoreUnavailable):
        Documents(store, pin).read(0, 1)


def test_values_of_yaml_are_made_plain_and_others_refused_by_number(store):
    pin = stage(store, [{"day": dt.date(2026, 1, 2), "score": float("nan")}], "task.yaml", in_place=False)
    assert Documents(store, pin).read(0, 1) == [{"day": "2026-01-02", "score": None}]
    with pytest.raises(SpecError, match=r"^task\.yaml: document 1: a: a set cannot be kept"):
        stage(store, [{"a": 1}, {"a": {1}}], "task.yaml", in_place=False)


def test_many_threads_read_the_same(store):
    docs = questions(2000)
    read = Documents(store, stage(store, docs, "source", in_place=False), kept=60_000)

    def check(seed):
        start = random.Random(seed).randrange(1990)
        return content(read.read(start, start + 10)) == content(docs[start : start + 10])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(300)))


def test_memory_is_bounded_while_staging_and_reading():
    class Sink(MemoryStore):
        """Keeps everything outside of what tracemalloc counts: as lengths only."""

        def put_if_absent(self, key, data):
            return key not in self.objects and super().put_if_absent(key, data if "index" in key else b"")

    def many():
        for n in range(20_000):
            yield {"n": n, "text": f"{n:06d}" * 1000}  # 120 MB in all

    tracemalloc.start()
    stage(Sink(), many(), "source", in_place=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20

    store = MemoryStore()
    read = Documents(
        store, stage(store, ({"n": n, "text": f"{n:06d}" * 1000} for n in range(8000)), "s", in_place=False)
    )
    tracemalloc.start()
    for start in range(0, 8000, 16):
        read.read(start, start + 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


PROGRAM = """
from support.documents import MemoryStore, questions
from assay_runner.data.documents import stage
print(stage(MemoryStore(), questions(600), "s", in_place=False).fingerprint)
"""


def test_the_fingerprint_is_the_same_in_another_process_with_other_hash_seeds():
    tests = str(Path(__file__).parents[2])
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONPATH": tests, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {stage(MemoryStore(), questions(600), "s", in_place=False).fingerprint}


def test_the_fingerprint_of_known_documents_is_fixed_for_ever(store):
    docs = [{"id": n, "text": "é" * n, "score": n / 3, "tags": [None, True, b"x"]} for n in range(600)]
    pin = stage(store, docs, "source", in_place=False)
    assert pin.fingerprint == "899f806b6048ac2e288d8d6354b94d67a8c5ed0bd0aad42cb7f8e5ada37f355e"
    index = DataIndex.decode(store.objects[f"data/{pin.fingerprint}/index.json"], "index")
    assert [(entry.start, entry.stop) for entry in index.blocks] == [(0, 256), (256, 512), (512, 600)]
