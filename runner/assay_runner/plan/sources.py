"""Brings the user's own task folders to this machine: folders beside the manifest, and prefixes in object storage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from assay_api.errors import SpecError
from assay_api.evaljob import TaskSource
from assay_runner.store.open import open_store


def task_folders(sources: Sequence[TaskSource], manifest: Path, scratch: Path) -> list[Path]:
    """One folder per source, in the manifest's order; those from object storage are copied below `scratch`.

    Raises:
        SpecError: a source is not there, is empty, or is of a kind that this machine cannot read.
    """
    return [_folder(source, number, manifest, scratch) for number, source in enumerate(sources)]


def _folder(source: TaskSource, number: int, manifest: Path, scratch: Path) -> Path:
    field = f"spec.taskSources[{number}]"
    if source.uri is None:
        raise SpecError(
            str(manifest),
            f"{field}.configMapRef",
            "ConfigMaps exist on a cluster only",
            "give a folder as uri for a local run",
        )
    if source.uri.startswith("s3://"):
        return _download(source.uri, manifest, field, scratch / f"tasks-{number}")
    folder = manifest.parent / Path(source.uri.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        raise SpecError(str(manifest), f"{field}.uri", f"there is no folder {folder}", "name a folder with task files")
    return folder.resolve()


def _download(uri: str, manifest: Path, field: str, into: Path) -> Path:
    store = open_store(uri, None)
    found = False
    for key in store.list(""):
        parts = PurePosixPath(key)
        if parts.is_absolute() or ".." in parts.parts:
            raise SpecError(str(manifest), f"{field}.uri", f"the key {key!r} leaves the folder", "rename the object")
        target = into / parts
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.get(key))
        found = True
    if not found:
        raise SpecError(
            str(manifest), f"{field}.uri", f"nothing lies below {uri}", "name a prefix that holds task files"
        )
    return into
