"""Objects as files below a folder, with the promises of object storage: exclusive creation, no torn reads, nothing lost
that was acknowledged.

An object comes into being by a link or a rename of a finished, synced file beside it, so a process that is killed at
any moment leaves at most a temporary file, which no listing shows and no key can name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.keys import TEMPORARY, below, check_folder, check_key

T = TypeVar("T")

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_NO_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF})
_FOLDER_TRIES = 8
"""A folder that was made may be gone again before the first file is in it, when others delete what else it held."""
_STALE_TRIES = 4
"""On NFS a file or folder that was replaced while it was used fails once with ESTALE; looking again finds the new one."""
_PIECE = 1 << 20

_REFUSALS = {
    errno.ENOSPC: ("no space is left on the device", "free some or choose another folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another folder"),
    errno.EFBIG: ("the file would be larger than allowed", "raise the limit on file sizes"),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written"),
    errno.EACCES: ("permission is denied", "grant access to the folder or choose another"),
    errno.EPERM: ("the operation is not permitted", "grant access to the folder or choose another"),
    errno.ENOTDIR: ("a part of the path is not a folder", "move that file away or choose another folder"),
    errno.EISDIR: ("there is a folder of that name", "move it away or choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter path"),
    errno.ELOOP: ("symbolic links lead in a circle", "correct the links"),
}


class FileStore:
    """A store in the folder `root`, which is made by the first write. Threads, processes and, on a shared file system,
    machines may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        """`file://` and the absolute path, character by character."""
        return f"file://{self._root}"

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the file by a link, which the file system grants once."""
        target = self._path(key)
        with _refusals(target, "written"):
            if _exists(target):
                return False
            with _temporary(target, BytesIO(data)) as temporary:
                created = _create(temporary, target)
            if created:
                _sync_folder(target.parent)
            return created

    def put(self, key: str, data: bytes) -> None:
        """Replace the file by a rename."""
        self._replace(self._path(key), lambda: BytesIO(data))

    def put_file(self, key: str, path: Path) -> None:
        """Copy the file and give the copy its name by a rename.

        Raises:
            StoreDenied: it cannot be read.
        """

        def open_file() -> BinaryIO:
            try:
                return path.open("rb")
            except OSError as error:
                raise StoreDenied(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error

        self._replace(self._path(key), open_file)

    def get(self, key: str) -> bytes:
        """The file's bytes; a folder is no object."""
        path = self.location(key)
        with _refusals(path, "read"):
            try:
                return _past_stale(lambda: _content(path))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotFoundInStore(path) from error

    def delete(self, key: str) -> None:
        """Remove the file, and the folders above it that are empty then."""
        path = self._path(key)
        with _refusals(path, "deleted"):
            try:
                path.unlink()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return
            # Somebody else who deletes here may have taken the empty folder away already.
            with suppress(FileNotFoundError):
                _sync_folder(path.parent)
            self._prune(path.parent)

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Files below the folder, symbolic links followed; a folder that is not there is empty."""
        return self._below(check_folder(prefix), recursive)

    def location(self, key: str) -> str:
        """The absolute path."""
        return below(str(self._root), check_key(key))

    def sweep(self, prefix: str) -> None:
        """Remove unfinished files, and folders that hold nothing else."""
        folder = self._root / check_folder(prefix)
        with _refusals(folder, "swept"):
            for path, _, names in os.walk(folder, topdown=False):
                for name in names:
                    if name.startswith(TEMPORARY):
                        (Path(path) / name).unlink(missing_ok=True)
                self._prune(Path(path))

    def _replace(self, target: Path, content: Callable[[], BinaryIO]) -> None:
        def write() -> None:
            with content() as source, _temporary(target, source) as temporary:
                temporary.replace(target)
                _sync_folder(target.parent)

        with _refusals(target, "written"):
            _past_stale(write)

    def _prune(self, folder: Path) -> None:
        while folder != self._root:
            # A courtesy: a folder that is in use, a link, or somebody else's stays.
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _below(self, prefix: str, recursive: bool) -> Iterator[str]:
        folder = self._root / prefix
        with _refusals(folder, "listed"):
            names = _past_stale(lambda: _names(folder))
        for name in names:
            if not name.endswith("/"):
                yield prefix + name
            elif recursive:
                yield from self._below(prefix + name, recursive)


def _content(path: str) -> bytes:
    # A `Path` takes as long to make as a small file to read.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.readall()


def _names(folder: Path) -> list[str]:
    """Files and, with a `/` at the end, folders; sorted so that a walk gives whole keys in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in entries
                if not entry.name.startswith(TEMPORARY) and (entry.is_dir() or entry.is_file())
            )
    except (FileNotFoundError, NotADirectoryError):
        return []


def _exists(target: Path) -> bool:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return os.path.lexists(target)


def _create(temporary: Path, target: Path) -> bool:
    """Give the finished file its name unless the name is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        # On NFS the answer to a link that took effect can be lost, and the repeated request then finds the name taken:
        # the second name of our own file tells.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_locked(temporary, target)
    return True


def _create_locked(temporary: Path, target: Path) -> bool:
    """The same on file systems without hard links. Not by O_EXCL on the object itself: its unfinished bytes would show,
    and stay for good after a kill. The system drops the lock of a process that dies."""
    descriptor = os.open(target.parent / f"{TEMPORARY}lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _exists(target):
            return False
        temporary.replace(target)
        return True
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(target: Path, content: BinaryIO) -> Iterator[Path]:
    """A finished, synced file beside `target` that nobody else knows; gone at the end."""
    path = target.parent / f"{TEMPORARY}{secrets.token_hex(12)}"
    try:
        with _new_file(path) as file:
            shutil.copyfileobj(content, file, _PIECE)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def _new_file(path: Path) -> BinaryIO:
    for _ in range(_FOLDER_TRIES - 1):
        _make_folder(path.parent)
        with suppress(FileNotFoundError):
            return path.open("xb")
    _make_folder(path.parent)
    return path.open("xb")


def _make_folder(folder: Path) -> None:
    """`mkdir -p` whose new folders survive a power cut."""
    try:
        _mkdir(folder)
    except FileNotFoundError:
        _make_folder(folder.parent)
        # Once more and no further: some file systems, such as /proc, have folders in which none can be made.
        _mkdir(folder)


def _mkdir(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    else:
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make names in the folder survive a power cut, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _past_stale(look: Callable[[], T]) -> T:
    for _ in range(_STALE_TRIES - 1):
        try:
            return look()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return look()


@contextmanager
def _refusals(path: Path | str, action: str) -> Iterator[None]:
    """Turn what the system says into the store's errors."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number in _REFUSALS:
            problem, remedy = _REFUSALS[number]
            raise StoreDenied(f"{path} cannot be {action}: {problem}; {remedy}.") from error
        raise StoreUnavailable(
            f"{path} could not be {action}: {error.strerror or type(error).__name__}; "
            "check the disk or the share it lies on and run the same command again."
        ) from error
