"""Brings a model from object storage into the cache, once: one process fetches, the others wait and use what it fetched.

A folder gets its name by a rename when all its files are there and synced, so an interrupted fetch leaves nothing that
looks complete. Its name is a digest of the address and of what lies there, so a model that was replaced is another folder.
What the files hold is not believed: the plan pins the model by content, and each worker compares.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from assay_api.base import canonical, sha256
from assay_api.errors import Failed, SpecError
from assay_runner.models.files import is_model_file
from assay_runner.store.base import StoreDenied
from assay_runner.store.keys import check_key
from assay_runner.store.open import open_store
from assay_runner.store.s3 import Entry, S3Store

_AT_ONCE = 4
_ABANDONED_SECONDS = 24 * 3600.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


def fetch_model(uri: str, cache: Path) -> Path:
    """The folder below `cache` that holds the model of `s3://bucket/prefix`, fetched if it is not there yet. Endpoint and
    credentials come from the environment.

    Raises:
        SpecError: no model lies there, or a key leads out of the folder.
        Failed: the store does not give it, or the folder cannot be written.
    """
    store = open_store(uri, None)
    assert isinstance(store, S3Store), "s3:// is the address of an S3 store"
    entries = _entries(uri, store)
    models = cache / "models"
    folder = models / sha256(canonical([uri, [[entry.key, entry.size, entry.etag] for entry in entries]]))
    if _is_whole(folder, entries):
        return folder
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")) as alone:
            if not _is_whole(folder, entries):
                if alone:
                    _remove_leftovers(folder)
                if folder.is_dir():
                    # A volume that lost power, or whose locks hold on one machine only, may show less than was put there.
                    folder.rename(folder.with_suffix(f".{secrets.token_hex(8)}.part"))
                _fetch(store, entries, folder)
        if not _is_whole(folder, entries):
            raise Failed(
                f"The model {uri} was fetched to {folder}, but its files are not all there; is the volume sound?"
            )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failed(f"The model {uri} cannot be kept below {cache} ({reason}).") from error
    return folder


def _entries(uri: str, store: S3Store) -> list[Entry]:
    entries = [entry for entry in store.entries() if is_model_file(_inside(uri, entry.key))]
    if not entries:
        raise SpecError(
            "manifest", "spec.model.name", f"no model lies below {uri}", "name the prefix that holds its config.json"
        )
    return entries


def _inside(uri: str, key: str) -> PurePosixPath:
    try:
        return PurePosixPath(check_key(key))
    except StoreDenied as error:
        raise SpecError(uri, "", str(error).rstrip("."), "rename the object") from error


def _is_whole(folder: Path, entries: Sequence[Entry]) -> bool:
    try:
        return all((folder / entry.key).stat().st_size == entry.size for entry in entries)
    except OSError:
        return False


def _fetch(store: S3Store, entries: Sequence[Entry], folder: Path) -> None:
    unfinished = folder.with_suffix(f".{secrets.token_hex(8)}.part")
    try:
        for entry in entries:
            (unfinished / entry.key).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda entry: store.download(entry, unfinished / entry.key), entries):
                pass
        try:
            unfinished.rename(folder)
        except OSError as error:
            # Where files cannot be locked, somebody else may have been faster.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """What processes that were killed left of this model long ago; to be called by the one that holds the lock. A young
    one may be at work on another machine, where the lock does not reach."""
    for part in folder.parent.glob(f"{folder.name}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Wait for the lock; False where the file system has none. The system drops the lock of a process that dies."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
