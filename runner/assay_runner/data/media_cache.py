"""Large media on a disk of this machine, shared by its workers: questions about one video come in several chunks, which
several workers do, and the store should give its bytes once.

Files are named by the SHA-256 of their bytes and appear by a rename, so what is there is whole; it is compared with its
name whenever it is read, and fetched again when it is damaged. Together they stay below a limit, but for what the workers
are writing just now: those that were used last are kept. A full disk or a folder that cannot be written costs the cache
and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST = 64 << 30
_SHARE = 4
"""The limit is a quarter of what the disk could give, and 64 GiB at most."""
_LOOK = 16
"""A worker that wrote a sixteenth of the limit looks whether something has to go."""


class MediaCache:
    """A folder of media. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, limit: int | None = None, *, token: Callable[[], str] = secrets.token_hex) -> None:
        """
        Args:
            limit: bytes of all files together; by default what the disk allows.
            token: gives a name that no other writer uses.
        """
        self._folder, self._limit, self._token = folder, limit, token
        self._unseen: int | None = None
        """Bytes written here since the last look; None before the first."""

    def get(self, digest: str, fetch: Callable[[], bytes]) -> bytes:
        """The bytes with this SHA-256, which `fetch` gives when they are not here; it is not asked for its exceptions."""
        path = self._folder / digest
        with suppress(OSError):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                os.utime(path)
                return data
            path.unlink(missing_ok=True)
        data = fetch()
        with suppress(OSError):
            self._keep(path, data)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        limit = self._limit if self._limit is not None else self._by_disk()
        if len(data) > limit:
            return
        part = path.with_name(f".{self._token()}")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._unseen = len(data) + (limit if self._unseen is None else self._unseen)
        if self._unseen >= limit // _LOOK:
            self._unseen = 0
            self._shrink(limit)

    def _by_disk(self) -> int:
        held = sum(file.size for file in _files(self._folder))
        self._limit = min(MOST, (shutil.disk_usage(self._folder).free + held) // _SHARE)
        return self._limit

    def _shrink(self, limit: int) -> None:
        with (self._folder / ".lock").open("w") as lock:
            with suppress(OSError):  # a volume without locks: two that shrink at once only remove more
                fcntl.flock(lock, fcntl.LOCK_EX)
            files = sorted(_files(self._folder), key=lambda file: file.used)
            held = sum(file.size for file in files)
            for file in files:
                if held <= limit:
                    return
                file.path.unlink(missing_ok=True)
                held -= file.size


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    used: float
    """When it was used last, in seconds since 1970 by the volume's clock."""


def _files(folder: Path) -> list[_File]:
    """All but the lock; parts that a killed worker left are old, and go first like everything old."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name != ".lock":
                with suppress(OSError):  # removed by another worker meanwhile
                    about = entry.stat()
                    found.append(_File(Path(entry.path), about.st_size, about.st_mtime))
    return found
