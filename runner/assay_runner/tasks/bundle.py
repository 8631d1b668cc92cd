"""The task files a worker needs, as one content-addressed object in the store.

Only tasks that refer to Python of their own have a bundle. It holds their folders' code and small files; its fingerprint
and the digest of every file are in the plan, and whoever finds others refuses.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path, PurePosixPath

import zstandard

from assay_api.base import canonical, sha256
from assay_api.errors import SpecError
from assay_api.plan import CodePin
from assay_runner.store.base import NotFoundInStore, Store

_KINDS = {".py", ".yaml", ".yml", ".json", ".txt", ".csv", ".tsv", ".jinja", ""}
_LARGEST_FILE = 1 << 20
_LARGEST = 20 << 20


def make_bundle(*folders: str | Path) -> tuple[CodePin, bytes]:
    """The bundle of a task's folders (`TaskConfig.folders`), each below its place: `0/utils.py` is of the first.

    All `.py` files, and small files of a kind that code reads beside itself; the same bytes for the same files, wherever
    the folders lie.

    Raises:
        SpecError: the files are too large to travel with a plan, or cannot be read.
    """
    files: dict[str, bytes] = {}
    for place, folder in enumerate(folders):
        for path in sorted(Path(folder).rglob("*")):
            relative = path.relative_to(folder)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if hidden or path.suffix not in _KINDS or not path.is_file():
                continue
            if path.suffix == ".py" or path.stat().st_size <= _LARGEST_FILE:
                files[str(PurePosixPath(str(place), *relative.parts))] = _content(path)
        if sum(map(len, files.values())) > _LARGEST:
            raise SpecError(
                str(folder),
                "",
                f"the task's files are larger than {_LARGEST >> 20} MiB",
                "keep the task's Python in a folder of its own, without data",
            )
    digests = {path: sha256(data) for path, data in files.items()}
    plain = {path: base64.b64encode(data).decode() for path, data in files.items()}
    pin = CodePin(fingerprint=sha256(canonical(digests)), files=digests)
    return pin, zstandard.ZstdCompressor().compress(canonical({"schema": "assay/code/v1", "files": plain}))


def unpack(pin: CodePin, data: bytes, into: Path) -> Path:
    """Write the files of a bundle below `into`, which is the answer; `Task.load` takes it as its code folder.

    Raises:
        SpecError: the bundle is malformed, holds other files than the planned ones, or a path leaves it.
    """
    return _unpack(pin, data, into, "task files")


def put_bundle(store: Store, pin: CodePin, data: bytes, scratch: Path) -> Path:
    """Store the bundle and unpack it below `scratch`; the answer is its folder."""
    store.put_if_absent(_key(pin), data)
    return _unpack(pin, data, _folder(scratch), store.location(_key(pin)))


def fetch(store: Store, pin: CodePin, scratch: Path) -> Path:
    """The planned task files, unpacked below `scratch`.

    Raises:
        SpecError: what the store holds are not the planned files.
    """
    where = store.location(_key(pin))
    try:
        data = store.get(_key(pin))
    except NotFoundInStore as error:
        raise _refuse(where, "the planned task files are gone") from error
    return _unpack(pin, data, _folder(scratch), where)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(
            str(path), "", f"the task file cannot be read ({error.strerror})", "correct its permissions"
        ) from error


def _unpack(pin: CodePin, data: bytes, into: Path, where: str) -> Path:
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            text = reader.read(4 * _LARGEST)  # a bundle that was made here is smaller; a bomb ends as cut-off JSON
        files = {path: base64.b64decode(coded, validate=True) for path, coded in json.loads(text)["files"].items()}
    except (zstandard.ZstdError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _refuse(where, "this is no bundle of task files") from error
    digests = {path: sha256(content) for path, content in files.items()}
    if digests != pin.files or sha256(canonical(digests)) != pin.fingerprint:
        raise _refuse(where, "the task files are not those that were planned")
    for path, content in files.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise _refuse(where, f"the file {path!r} leaves the bundle")
        target = into / parts
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    into.mkdir(parents=True, exist_ok=True)
    return into


def _folder(scratch: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=scratch, prefix="code-"))


def _key(pin: CodePin) -> str:
    return f"data/code/{pin.fingerprint}.json.zst"


def _refuse(where: str, problem: str) -> SpecError:
    return SpecError(where, "", problem, "plan the run anew")
