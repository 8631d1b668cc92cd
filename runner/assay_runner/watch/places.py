"""The prefix that is watched, in a bucket or on a volume: what lies directly below it, and what of that has changed.

Changes are told by names, sizes and ETags (on a volume: inode and time of change, which are compared and never read as
times). No clock of anybody else decides anything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from assay_api.errors import SpecError
from assay_runner.store.base import StoreDenied, StoreUnavailable
from assay_runner.store.open import open_store
from assay_runner.store.s3 import S3Store


@dataclass(frozen=True, slots=True)
class Child:
    """Something directly below the prefix."""

    name: str
    folder: bool
    state: bytes | None = None
    """Digest of what a single object or file is; that of a folder has to be asked for."""


class Place(Protocol):
    """Where checkpoints land. Every call may raise StoreDenied or StoreUnavailable."""

    def children(self) -> Iterator[Child]:
        """What lies directly below, in any order."""
        ...

    def state(self, child: Child) -> bytes | None:
        """A digest that changes when anything in the child does; None while there is nothing in it."""
        ...

    def holds(self, child: Child, file: str) -> bool:
        """Whether the folder has this file directly in it."""
        ...


def open_place(uri: str) -> Place:
    """The prefix at `uri`, `s3://bucket/prefix` or `file:///folder`. Nothing is asked of it yet.

    Raises:
        SpecError: `uri` is neither.
        StoreDenied: boto3's configuration is not usable.
    """
    if uri.startswith("file:"):
        return FolderPlace(Path("/" + uri.removeprefix("file:").lstrip("/")))
    store = open_store(uri, None)
    if not isinstance(store, S3Store):
        raise SpecError(uri, "", "this is no prefix that can be watched", "use s3://bucket/prefix or file:///folder")
    return S3Place(store)


class S3Place:
    """A prefix of a bucket."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def children(self) -> Iterator[Child]:
        """Common prefixes and objects; a name that is both counts as a folder."""
        for entry in self._store.children():
            folder = entry.key.endswith("/")
            state = None if folder else _digest(iter([(entry.key, entry.size, entry.etag)]))
            yield Child(entry.key.removesuffix("/"), folder, state)

    def state(self, child: Child) -> bytes | None:
        """Of a folder: all keys below it."""
        if not child.folder:
            return child.state
        return _digest((entry.key, entry.size, entry.etag) for entry in self._store.entries(f"{child.name}/"))

    def holds(self, child: Child, file: str) -> bool:
        """By the object's head."""
        return child.folder and self._store.exists(f"{child.name}/{file}")


class FolderPlace:
    """A folder on a volume."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def children(self) -> Iterator[Child]:
        """Files and folders, symbolic links followed; a folder that is not there yet is empty."""
        try:
            with os.scandir(self._folder) as found:
                for entry in found:
                    folder = entry.is_dir()
                    state = None if folder else _digest(_file(Path(entry.path), entry.name))
                    yield Child(entry.name, folder, state)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refusal(self._folder, error) from error

    def state(self, child: Child) -> bytes | None:
        """Of a folder: all files below it."""
        return _digest(_files(self._folder / child.name)) if child.folder else child.state

    def holds(self, child: Child, file: str) -> bool:
        """Whatever is in the file."""
        return child.folder and (self._folder / child.name / file).is_file()


def _digest(entries: Iterator[tuple[str, int, str]]) -> bytes | None:
    digest, empty = hashlib.blake2b(digest_size=16), True
    for entry in entries:
        digest.update(repr(entry).encode())
        empty = False
    return None if empty else digest.digest()


def _files(folder: Path) -> Iterator[tuple[str, int, str]]:
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(path) / name
            yield from _file(file, str(file.relative_to(folder)))


def _file(path: Path, name: str) -> Iterator[tuple[str, int, str]]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(path, error) from error
    yield name, found.st_size, f"{found.st_ino}.{found.st_mtime_ns}"


def _refusal(path: Path, error: OSError) -> StoreDenied | StoreUnavailable:
    reason = (error.strerror or type(error).__name__).lower()
    if isinstance(error, PermissionError | NotADirectoryError):
        return StoreDenied(f"{path} cannot be watched: {reason}; grant access to it or correct spec.watch.uri.")
    return StoreUnavailable(f"{path} could not be looked at: {reason}; check the volume.")
