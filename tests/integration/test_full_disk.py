"""A folder that fills up, turns read-only or fails while a run writes to it: a sentence, nothing lost, the same bytes later."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path

import pytest

from assay_api.errors import Failed
from assay_runner.store.file import FileStore
from support.runs import PLAIN_TASK, planned, results_bytes, worker, write_task


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full-disk")
    write_task(folder / "tasks", documents=80, task=PLAIN_TASK)
    return folder


@pytest.fixture(scope="module")
def undisturbed(home, tmp_path_factory):
    run = planned(home, FileStore(tmp_path_factory.mktemp("undisturbed")))
    asyncio.run(worker(run).run())
    return results_bytes(run)


@pytest.mark.parametrize("writes", [1, 12, 25, 40])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left on the device; free some"),
        (errno.EROFS, "the file system is read-only; choose"),
        (errno.EIO, "Input/output error; check the disk or the share"),
        (errno.ESTALE, "Stale file handle; check the disk or the share"),
    ],
)
def test_a_run_whose_disk_fails_in_the_middle_says_so_and_is_resumed_to_the_same_bytes(
    home, tmp_path, undisturbed, monkeypatch, number, words, writes
):
    run = planned(home, FileStore(tmp_path))
    left, sync = iter(range(writes)), os.fsync

    def failing(descriptor):
        if next(left, None) is None and "/progress" not in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", failing)
        with pytest.raises(Failed, match=f"{re.escape(str(tmp_path))}/.* could not be|cannot be .*{words}") as caught:
            asyncio.run(worker(run).run())
    assert words in str(caught.value) and caught.value.exit_code == 1
    assert not list(tmp_path.rglob(".tmp-*"))
    asyncio.run(worker(run).run())
    assert results_bytes(run) == undisturbed
