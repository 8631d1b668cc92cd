"""The task files a worker needs, as one content-addressed object in the store.

Only tasks that refer to Python have a bundle. It holds their folders' code and small files; its fingerprint and the digest
of every file are in the plan, and whoever finds others refuses.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import zstandard

from assay_api.base import canonical, sha256
from assay_api.errors import SpecError
from assay_api.plan import CodePin
from assay_runner.store.base import NotFoundInStore, Store

_KINDS = {".py", ".yaml", ".yml", ".json", ".txt", ".csv", ".jinja", ".tsv", ""}
_LARGEST_FILE = 1 << 20
_LARGEST = 20 << 20


def bundle_names(folders: Sequence[str]) -> dict[str, str]:
    """Folder → its name in the bundle: the folder's own name, numbered where two have the same."""
    names: dict[str, str] = {}
    for folder in folders:
        plain = Path(folder).name
        name, number = plain, 1
        while name in names.values():
            number += 1
            name = f"{plain}-{number}"
        names[folder] = name
    return names


def make_bundle(names: dict[str, str]) -> tuple[CodePin, bytes]:
    """The bundle of these folders (folder → name): the same bytes for the same files, wherever they lie.

    Raises:
        SpecError: the files are too large to travel with a plan.
    """
    files: dict[str, bytes] = {}
    for folder, name in names.items():
        for path in sorted(Path(folder).rglob("*")):
            relative = path.relative_to(folder)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if hidden or not path.is_file() or path.suffix not in _KINDS:
                continue
            if path.suffix == ".py" or path.stat().st_size <= _LARGEST_FILE:
                files[str(PurePosixPath(name, *relative.parts))] = path.read_bytes()
        if sum(map(len, files.values())) > _LARGEST:
            raise SpecError(
                folder, "", f"the task's files are larger than {_LARGEST >> 20} MiB",
                "keep the task's Python in a folder of its own, without data",
            )
    digests = {path: sha256(data) for path, data in files.items()}
    plain = {path: base64.b64encode(data).decode() for path, data in files.items()}
    pin = CodePin(fingerprint=sha256(canonical(digests)), files=digests)
    return pin, zstandard.ZstdCompressor().compress(canonical({"schema": "assay/code/v1", "files": plain}))


def put_bundle(store: Store, pin: CodePin, data: bytes, scratch: Path) -> Path:
    """Store the bundle and unpack it below `scratch`; the answer is its folder."""
    store.put_if_absent(_key(pin), data)
    return _unpack(pin, data, scratch, _key(pin))


def fetch(store: Store, pin: CodePin, scratch: Path) -> Path:
    """The planned task files, unpacked into a fresh folder below `scratch`.

    Raises:
        SpecError: what the store holds are not the planned files.
    """
    try:
        data = store.get(_key(pin))
    except NotFoundInStore as error:
        raise _refuse(store.location(_key(pin)), "the planned task files are gone") from error
    return _unpack(pin, data, scratch, store.location(_key(pin)))


def _unpack(pin: CodePin, data: bytes, scratch: Path, where: str) -> Path:
    try:
        text = zstandard.ZstdDecompressor().decompress(data, max_output_size=4 * _LARGEST)
        files = {path: base64.b64decode(coded, validate=True) for path, coded in json.loads(text)["files"].items()}
    except (zstandard.ZstdError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _refuse(where, "this is no bundle of task files") from error
    if {path: sha256(content) for path, content in files.items()} != pin.files:
        raise _refuse(where, "the task files are not those that were planned")
    into = Path(tempfile.mkdtemp(dir=scratch, prefix="code-"))
    for path, content in files.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise _refuse(where, f"the file {path!r} leaves the bundle")
        target = into / parts
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return into


def _key(pin: CodePin) -> str:
    return f"data/code/{pin.fingerprint}.json.zst"


def _refuse(where: str, problem: str) -> SpecError:
    return SpecError(where, "", problem, "plan the run anew")
