"""Large media are fetched once per machine, the folder stays below its limit, and what it gives is what was asked for."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_api.base import sha256
from assay_api.errors import Corrupt
from assay_runner.data.documents import Documents, stage
from assay_runner.data.media_cache import MediaCache
from assay_runner.media import from_bytes
from assay_runner.store.file import FileStore
from support.documents import png


def medium(number, size=1000):
    return bytes([number % 256]) * size + number.to_bytes(4, "big")


class Source:
    def __init__(self):
        self.asked = []

    def of(self, data):
        def fetch():
            self.asked.append(data)
            return data

        return sha256(data), fetch


@pytest.fixture
def source():
    return Source()


def held(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_medium_is_fetched_once_by_whoever_comes_first(tmp_path, source):
    first, second = MediaCache(tmp_path, 10**6), MediaCache(tmp_path, 10**6)
    for cache in (first, second, first):
        assert cache.get(*source.of(medium(1))) == medium(1)
    assert source.asked == [medium(1)]


def test_what_is_damaged_on_the_disk_is_fetched_again(tmp_path, source):
    cache = MediaCache(tmp_path, 10**6)
    cache.get(*source.of(medium(1)))
    (tmp_path / sha256(medium(1))).write_bytes(b"x")
    assert cache.get(*source.of(medium(1))) == medium(1)
    assert cache.get(*source.of(medium(1))) == medium(1)
    assert len(source.asked) == 2


@given(st.lists(st.integers(0, 40), max_size=120))
def test_the_folder_stays_below_its_limit_and_every_answer_is_right(tmp_path_factory, asked):
    folder = tmp_path_factory.mktemp("cache")
    cache, limit = MediaCache(folder, 10_000), 10_000
    for number in asked:
        assert cache.get(*Source().of(medium(number))) == medium(number)
        assert held(folder) <= limit + limit // 16


def test_what_was_used_last_stays(tmp_path, source):
    cache = MediaCache(tmp_path, 3100)
    for age, number in enumerate((1, 2, 3)):
        cache.get(*source.of(medium(number)))
        os.utime(tmp_path / sha256(medium(number)), (age, age))
    cache.get(*source.of(medium(1)))
    cache.get(*source.of(medium(4)))
    source.asked.clear()
    for number in (1, 3, 4):
        cache.get(*source.of(medium(number)))
    assert source.asked == []
    cache.get(*source.of(medium(2)))
    assert source.asked == [medium(2)]


def test_a_medium_beyond_the_limit_and_a_folder_that_cannot_be_written_cost_nothing_else(tmp_path, source):
    (tmp_path / "file").write_text("")
    for cache in (MediaCache(tmp_path / "small", 100), MediaCache(tmp_path / "file", 10**6)):
        assert cache.get(*source.of(medium(1))) == medium(1)
    assert not any((tmp_path / "small").iterdir())


def test_processes_share_a_folder(tmp_path):
    code = """
import sys
from pathlib import Path
from assay_api.base import sha256
from assay_runner.data.media_cache import MediaCache
cache, asked = MediaCache(Path(sys.argv[1]), 20_000), 0
for number in range(300):
    data = bytes([number % 30]) * 1000
    if cache.get(sha256(data), lambda: data) != data:
        sys.exit("wrong bytes")
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    racers = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(3)]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    assert held(tmp_path) <= 20_000 + 3 * 1250


def test_documents_fetch_large_media_when_they_are_read_and_once_per_machine(tmp_path):
    videos = [from_bytes(png(number) + bytes(2 << 20)) for number in range(3)]
    store = FileStore(tmp_path / "store")
    pin = stage(store, [{"v": one} for one in videos], "d", in_place=False)
    cache = MediaCache(tmp_path / "cache", 10**8)
    docs = Documents(store, pin, cache=cache).read(0, 3)
    assert not (tmp_path / "cache").exists()
    assert [doc["v"].read() for doc in docs] == [video.read() for video in videos]
    for path in (tmp_path / "store/data/media").iterdir():
        path.unlink()
    again = Documents(store, pin, cache=cache).read(0, 3)
    assert [doc["v"].read() for doc in again] == [video.read() for video in videos]
    with pytest.raises(Corrupt, match="is missing"):
        Documents(store, pin).read(0, 1)[0]["v"].read()
