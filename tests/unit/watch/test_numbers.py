"""One number for each checkpoint, whoever gives it, and no answer where the numbers are not those of this schedule."""

import threading

import pytest

from assay_api.checkpoints import Checkpoint, key
from assay_api.errors import Corrupt, Failed
from assay_runner.store.base import StoreUnavailable
from assay_runner.store.file import FileStore
from assay_runner.watch.numbers import Numbers

WATCHED = "s3://train/run"


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path)


def loaded(store, watched=WATCHED):
    numbers = Numbers(store, watched)
    numbers.load()
    return numbers


def names(store):
    return [found.name for found in loaded(store).after(0)]


def test_numbers_go_on_where_they_were(store):
    first = loaded(store)
    for name in ("a", "b", "a"):
        first.add(name)
    second = loaded(store)
    second.add("c")
    assert names(store) == ["a", "b", "c"] and second.knows("a") and not second.knows("d")


def test_a_watcher_that_has_slept_takes_over_what_another_has_numbered(store):
    slow, fast = loaded(store), loaded(store)
    for name in ("a", "b", "c"):
        fast.add(name)
    slow.add("b")
    slow.add("d")
    assert names(store) == ["a", "b", "c", "d"]


def test_many_at_once_agree_on_one_number_for_each(store):
    def work(turn):
        numbers = loaded(store)
        for n in range(30):
            numbers.add(f"c{(n * 7 + turn * 11) % 30}")

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = names(store)
    assert len(found) == 30 == len(set(found))


@pytest.mark.parametrize("written", [True, False])
def test_after_an_answer_that_was_lost_what_is_there_tells(store, written):
    numbers, real = loaded(store), store.put_if_absent

    def lose(at, data):
        store.put_if_absent = real
        if written:
            real(at, data)
        raise StoreUnavailable("no answer")

    store.put_if_absent = lose
    if written:
        numbers.add("a")
    else:
        with pytest.raises(StoreUnavailable):
            numbers.add("a")
        numbers.add("a")
    assert names(store) == ["a"]


def test_a_storage_that_knows_less_than_was_told_is_refused(store):
    loaded(store).add("a")
    with pytest.raises(Failed, match="has 1 numbered checkpoints, and 2 were told of"):
        list(loaded(store).after(2))


def test_a_number_that_somebody_has_deleted_is_refused(store):
    numbers = loaded(store)
    for name in "abc":
        numbers.add(name)
    store.delete(key(2))
    with pytest.raises(Corrupt, match="000002"):
        loaded(store)


def test_numbers_of_another_prefix_are_refused(store):
    loaded(store).add("a")
    with pytest.raises(Corrupt, match="is number 1 of s3://train/run"):
        loaded(store, "s3://train/other")


def test_a_checkpoint_with_two_numbers_is_refused(store):
    for number in (1, 2):
        store.put(key(number), Checkpoint(number=number, name="a", watched=WATCHED).encode())
    with pytest.raises(Corrupt, match="two numbers"):
        loaded(store)
