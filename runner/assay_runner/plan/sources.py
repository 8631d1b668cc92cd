"""Brings the user's own task folders to this machine: folders beside the manifest, prefixes in object storage, and, in a
pod, mounted ConfigMaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from assay_api.errors import Failed, SpecError
from assay_api.evaljob import TaskSource
from assay_runner.store.open import open_store


def task_folders(
    sources: Sequence[TaskSource], manifest: Path, scratch: Path, config_maps: Path | None = None
) -> list[Path]:
    """One folder per source, in the manifest's order; those from object storage and ConfigMaps are copied below
    `scratch`.

    Args:
        config_maps: where ConfigMaps are mounted, that of source i in the folder `i`; None where there is no cluster.

    Raises:
        SpecError: a source is not there, is empty, or is of a kind that this machine cannot read.
    """
    return [_folder(source, number, manifest, scratch, config_maps) for number, source in enumerate(sources)]


def _folder(source: TaskSource, number: int, manifest: Path, scratch: Path, config_maps: Path | None) -> Path:
    field = f"spec.taskSources[{number}]"
    if source.config_map_ref is not None:
        if config_maps is None:
            raise SpecError(
                str(manifest),
                f"{field}.configMapRef",
                "ConfigMaps exist on a cluster only",
                "give a folder as uri for a local run",
            )
        # The name is part of the path, so that complaints about a file tell where it came from.
        name = source.config_map_ref.name
        into = scratch / f"tasks-{number}" / name
        return _copy(config_maps / str(number), name, manifest, f"{field}.configMapRef", into)
    assert source.uri is not None, "a task source names one of the two"
    if source.uri.startswith("s3://"):
        return _download(source.uri, manifest, field, scratch / f"tasks-{number}")
    folder = manifest.parent / Path(source.uri.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        raise SpecError(str(manifest), f"{field}.uri", f"there is no folder {folder}", "name a folder with task files")
    return folder.resolve()


def _copy(mounted: Path, name: str, manifest: Path, field: str, into: Path) -> Path:
    """The keys of a ConfigMap as plain files. Its volume shows each as a link through `..data`, which may be exchanged
    for a newer version at any time: all are read from the version that was there first."""
    version = mounted / "..data"
    mounted = version.resolve() if version.is_dir() else mounted
    keys = [path for path in _entries(mounted) if not path.name.startswith("..") and path.is_file()]
    if not keys:
        raise SpecError(str(manifest), field, f"ConfigMap {name} holds no files", "put task files in it, one per key")
    into.mkdir(parents=True)
    try:
        for path in keys:
            (into / path.name).write_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise Failed(f"ConfigMap {name} was changed while it was read; the planner is to be started again.") from error
    return into


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


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
