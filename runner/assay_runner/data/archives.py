"""Media inside zip and tar archives, read where they lie: nothing is unpacked, so an archive can neither fill a disk nor
write outside of a folder.

A zip archive is read by the standard library, which checks each member's CRC; of a tar archive the places of its members
are listed once and then read directly. Compressed tar archives are refused: to reach a member all before it would have to
be unpacked, every time.
"""

from __future__ import annotations

import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from assay_runner.media import MediaError

SUFFIXES = (".zip", ".tar")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LARGEST_MEMBER = 4 << 30
"""Bytes of a member at most, unpacked."""
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tarfile.TarError,
)
_OPEN = 8
"""Archives whose lists of members are kept."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    archive: Path
    name: str

    def absolute(self) -> Member:
        """The same with an absolute path of the archive."""
        return replace(self, archive=self.archive.absolute())

    def read(self) -> bytes:
        """Its bytes, unpacked.

        Raises:
            MediaError: the archive or the member cannot be read, or it is too large.
        """
        try:
            return _opened(self.archive).read(self.name)
        except _UNREADABLE as error:
            raise MediaError(f"{self} cannot be read ({error})") from error

    def __str__(self) -> str:
        return f"{self.name} of {self.archive}"


def inside_archive(path: Path) -> Member | None:
    """The member that a path like `images.zip/cats/1.png` names, when one of the folders in it is an archive.

    Raises:
        MediaError: that archive is a compressed tar.
    """
    for above in reversed(path.parents):
        name = above.name.lower()
        if name.endswith(_COMPRESSED) and above.is_file():
            raise MediaError(f"{above} is compressed as a whole; unpack it to a .tar, or make a .zip")
        if name.endswith(SUFFIXES) and above.is_file():
            return Member(above, path.relative_to(above).as_posix())
    return None


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = zipfile.ZipFile(path)
        self._members = {_normal(info.filename): info for info in self._file.infolist() if not info.is_dir()}

    def read(self, name: str) -> bytes:
        info = self._members.get(_normal(name))
        if info is None:
            raise _missing(self._path, name)
        if info.flag_bits & 0x1:
            raise MediaError(f"{name} of {self._path} is encrypted")
        _refuse_large(self._path, name, info.file_size)
        # Reads as much as the list of members says, whatever the member unpacks to, and compares the CRC.
        return self._file.read(info)


class _Tar:
    def __init__(self, path: Path) -> None:
        self._path = path
        with tarfile.open(path, "r:") as file:
            # Links are left out: they could name what is not in the archive.
            self._members = {_normal(one.name): (one.offset_data, one.size) for one in file if one.isreg()}

    def read(self, name: str) -> bytes:
        if _normal(name) not in self._members:
            raise _missing(self._path, name)
        start, size = self._members[_normal(name)]
        _refuse_large(self._path, name, size)
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(size)
        if len(data) != size:
            raise MediaError(f"{self._path} is truncated: {name} is not there as a whole")
        return data


_ARCHIVES: OrderedDict[tuple[Path, int, int], _Zip | _Tar] = OrderedDict()
"""By path, size and time of change: one that is replaced is listed anew."""
_LOCK = threading.Lock()


def _opened(path: Path) -> _Zip | _Tar:
    with _LOCK:
        about = path.stat()
        key = (path, about.st_size, about.st_mtime_ns)
        if key not in _ARCHIVES:
            _ARCHIVES[key] = _Zip(path) if path.name.lower().endswith(".zip") else _Tar(path)
        _ARCHIVES.move_to_end(key)
        while len(_ARCHIVES) > _OPEN:
            _ARCHIVES.popitem(last=False)
        return _ARCHIVES[key]


def _normal(name: str) -> str:
    return str(PurePosixPath(name))


def _missing(archive: Path, name: str) -> MediaError:
    return MediaError(f"{archive} holds no {name}")


def _refuse_large(archive: Path, name: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise MediaError(f"{name} of {archive} has {size:,} bytes, more than {LARGEST_MEMBER:,} can be")
