"""What counts as landed, by a clock that only the watcher has, and how a report keeps within its bounds."""

from dataclasses import dataclass, field

import pytest

from assay_api.checkpoints import Checkpoint
from assay_api.reports import LARGEST
from assay_runner.store.file import FileStore
from assay_runner.watch.numbers import Numbers
from assay_runner.watch.places import FolderPlace
from assay_runner.watch.watcher import MOST_TOLD, Wanted, Watcher, natural, report, watch


@dataclass
class Clock:
    seconds: float = 0.0
    at: dict[float, list] = field(default_factory=dict)
    """Seconds → what happens then."""

    def __call__(self):
        return self.seconds

    def pause(self, seconds):
        end = self.seconds + seconds
        for moment in sorted(moment for moment in self.at if self.seconds < moment <= end):
            for happen in self.at.pop(moment):
                happen()
        self.seconds = end


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train").mkdir()
    return tmp_path / "train"


@pytest.fixture
def look(folder, tmp_path, clock):
    """Watch with these settings and return the names that were told, with the time it took."""

    def run(*, after=0, patience=600.0, poll=10.0, settle=60.0, pattern="checkpoint-*", ready=None):
        numbers = Numbers(FileStore(tmp_path / "numbers"), "file:///train")
        watcher = Watcher(FolderPlace(folder), numbers, Wanted(pattern, ready, settle), clock)
        began = clock()
        told = watch(watcher, numbers, after=after, poll=poll, patience=patience, clock=clock, pause=clock.pause)
        return [(landed.number, landed.name) for landed in told.found], clock() - began

    return run


def save(folder, name, file="model.safetensors", text="weights"):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / file).write_text(text)


def test_with_a_ready_file_a_checkpoint_counts_when_it_is_there(look, folder, clock):
    save(folder, "checkpoint-1")
    clock.at[25.0] = [lambda: save(folder, "checkpoint-1", "DONE")]
    assert look(ready="DONE") == ([(1, "checkpoint-1")], 30.0)


def test_without_one_it_counts_when_nothing_has_changed_for_a_while(look, folder, clock):
    save(folder, "checkpoint-1")
    clock.at[35.0] = [lambda: save(folder, "checkpoint-1", "optimizer.pt")]
    # Seen at 40 for the first time as it is.
    assert look() == ([(1, "checkpoint-1")], 100.0)


def test_a_file_that_is_written_again_counts_as_a_change(look, folder, clock):
    save(folder, "checkpoint-1")
    clock.at[35.0] = [lambda: save(folder, "checkpoint-1", text="longer weights")]
    assert look()[1] == 100.0


def test_the_time_of_looking_never_makes_a_checkpoint_older(folder, tmp_path, clock):
    class Slow(FolderPlace):
        def state(self, child):
            state = super().state(child)
            clock.seconds += 50
            return state

    save(folder, "checkpoint-1")
    numbers = Numbers(FileStore(tmp_path / "numbers"), "file:///train")
    watcher = Watcher(Slow(folder), numbers, Wanted("*", None, 60.0), clock)
    watcher.look()
    clock.seconds += 50
    watcher.look()
    assert numbers.last == 0, "between the two looks were 50 s"
    clock.seconds += 10
    watcher.look()
    assert numbers.last == 1


def test_an_empty_folder_has_not_landed(look, folder):
    (folder / "checkpoint-1").mkdir()
    assert look() == ([], 600.0)


def test_a_prefix_that_is_not_there_yet_is_waited_for(look, folder):
    folder.rmdir()
    assert look() == ([], 600.0)


def test_those_that_are_there_already_come_in_natural_order(look, folder):
    for name in ("checkpoint-1000", "checkpoint-500", "tmp-checkpoint-9", "checkpoint-50", "notes.txt"):
        save(folder, name)
    assert look(settle=1)[0] == [(1, "checkpoint-50"), (2, "checkpoint-500"), (3, "checkpoint-1000")]


def test_a_single_file_may_be_a_checkpoint(look, folder):
    (folder / "epoch-1.safetensors").write_text("weights")
    assert look(pattern="*.safetensors")[0] == [(1, "epoch-1.safetensors")]


def test_what_was_told_is_not_told_again_and_what_was_not_is_told_at_once(look, folder):
    save(folder, "checkpoint-1")
    save(folder, "checkpoint-2")
    look()
    assert look() == ([(1, "checkpoint-1"), (2, "checkpoint-2")], 0.0)
    assert look(after=1) == ([(2, "checkpoint-2")], 0.0)
    assert look(after=2, patience=100.0) == ([], 100.0)


def test_names_that_cannot_be_told_are_left_out_and_said(look, folder, capsys):
    save(folder, "checkpoint-\n")
    save(folder, "checkpoint-\udcff")
    save(folder, "checkpoint-1")
    assert look()[0] == [(1, "checkpoint-1")]
    said = capsys.readouterr().err
    assert said.count("is left out") == 2


def test_of_very_many_as_many_are_told_as_fit_a_message_and_the_rest_next(look, folder):
    for number in range(100):
        save(folder, f"checkpoint-{number}-{'x' * 180}")
    told, after = [], 0
    while len(told) < 100:
        (found, _) = look(after=after)
        assert 0 < len(found) <= MOST_TOLD
        told += found
        after = found[-1][0]
    assert [number for number, _ in told] == list(range(1, 101))
    assert [name.split("-")[1] for _, name in told] == [str(number) for number in range(100)]


@pytest.mark.parametrize("name", ["c" * 1024, "é" * 512, "\U0001f600" * 256])
def test_even_the_longest_names_fit_a_message(name):
    told = report(Checkpoint(number=10**6 + n, name=name, watched="s3://b") for n in range(40))
    assert told.found and len(told.encode()) <= LARGEST


def test_natural_order_takes_numbers_as_numbers():
    names = ["c-2", "c-10", "c-1", "c", "c-1-b", "c-1-a", "d-0", "10", "9", "c-01"]
    assert sorted(names, key=natural) == ["9", "10", "c", "c-01", "c-1", "c-1-a", "c-1-b", "c-2", "c-10", "d-0"]
