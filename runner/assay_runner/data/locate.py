"""Which files hold a split: of an installed package, named by `data_files`, or found by the layout of a folder.

Nothing is opened here. What is neither a package nor a file nor a folder is left to the hub.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay_runner.data.spec import DatasetSpec

MEDIA_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif",
     ".wav", ".flac", ".mp3", ".ogg", ".m4a", ".avi", ".mp4", ".mov", ".webm", ".mkv")
)  # fmt: skip
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")

_FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet",
    ".arrow": "arrow", ".txt": "text", ".lance": "lance",
}  # fmt: skip
_BUILDERS = {
    "json": "json", "jsonl": "jsonl", "csv": "csv", "parquet": "parquet", "arrow": "arrow", "text": "text",
    "imagefolder": "media", "audiofolder": "media", "videofolder": "media",
}  # fmt: skip
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", *METADATA}
_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]+)?$")


@dataclass(frozen=True, slots=True)
class Located:
    """A split's files. `format` is a key of `formats.READERS`, or "media" for one folder with media; `root` is where
    relative paths to media are meant from; `source` is for people and names no place of this machine.
    """

    format: str
    files: tuple[Path, ...]
    root: Path
    source: str


def locate(spec: DatasetSpec, chosen: dict[str, Any]) -> Located | None:
    """The files of a split, or None when the dataset is the hub's; `chosen` are the options of the task.

    Raises:
        SpecError: no such package, file, folder or split.
    """
    folder = spec.base
    if spec.path.startswith("package:"):
        root, label = _package(spec)
        return _below(spec, chosen, root, label)
    if _remote(chosen):
        return None
    if spec.path == "pandas":
        raise spec.error("dataset_path", "pickled tables can run code when they are read", "save the table as parquet")
    if spec.path in _BUILDERS and (chosen.keys() & {"data_files", "data_dir"} or not (folder / spec.path).is_dir()):
        return _built(spec, chosen, folder)
    if "://" in spec.path:
        raise spec.error(
            "dataset_path", f"{spec.path} is no place documents are read from", "give a path, package:NAME or a hub id"
        )
    path = folder / Path(spec.path).expanduser()
    if _is_data(path):
        return Located(_format(spec, path), (path,), path.parent, path.name)
    if path.is_dir():
        return _below(spec, chosen, path, path.name)
    if spec.path.startswith((".", "/", "~")) or Path(spec.path).suffix in _FORMATS:
        raise spec.error("dataset_path", f"{path} does not exist", "give a file, a folder, package:NAME or a hub id")
    return None


def _remote(chosen: dict[str, Any]) -> bool:
    return any("://" in pattern for _, patterns in _patterns(chosen.get("data_files")) for pattern in patterns)


def _package(spec: DatasetSpec) -> tuple[Path, str]:
    name = spec.path.removeprefix("package:").replace("-", "_")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise spec.error("dataset_path", f"the package {name} is not installed", _how_to_install(name))
    try:
        label = f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        label = name
    return Path(next(iter(found.submodule_search_locations))), label


def _how_to_install(name: str) -> str:
    hint = f"pip install {name.replace('_', '-')}"
    try:
        required = importlib.metadata.requires("assay") or []
    except importlib.metadata.PackageNotFoundError:
        return hint
    wanted = re.compile(rf"{name.replace('_', '[-_.]')}\b.*extra == ['\"](\w+)['\"]", re.IGNORECASE)
    extras = sorted(match[1] for line in required if (match := wanted.match(line)) and match[1] != "dev")
    return f"{hint}, or pip install 'assay[{extras[0]}]'" if extras else hint


def _built(spec: DatasetSpec, chosen: dict[str, Any], folder: Path) -> Located:
    format_ = _BUILDERS[spec.path]
    base = folder / chosen.get("data_dir", ".")
    if "data_files" in chosen:
        return Located(format_, _named(spec, chosen["data_files"], base), folder, _label(spec.path, chosen, spec))
    if "data_dir" not in chosen:
        raise spec.error(
            "dataset_kwargs.data_files", f"{spec.path} reads files, and none are named", "name them, per split"
        )
    return _laid_out(spec, base, base.name)


def _below(spec: DatasetSpec, chosen: dict[str, Any], root: Path, label: str) -> Located:
    base = root / chosen.get("data_dir", ".")
    if "data_files" in chosen:
        files = _named(spec, chosen["data_files"], base)
        return Located(_format(spec, files[0]), files, root, _label(label, chosen, spec))
    if spec.name not in (None, "", "default"):
        base = base / str(spec.name)
        label = f"{label}/{spec.name}"
        if not base.is_dir():
            raise spec.error(
                "dataset_name", f"{root} has no folder {spec.name}", "make one per part, or remove dataset_name"
            )
    return _laid_out(spec, base, label)


def _label(label: str, chosen: dict[str, Any], spec: DatasetSpec) -> str:
    patterns = dict(_patterns(chosen["data_files"]))
    named = patterns.get(spec.split) or patterns[""]
    return f"{label}: {', '.join(Path(name).name if Path(name).is_absolute() else name for name in named)}"


def _patterns(data_files: Any) -> Iterable[tuple[str, list[str]]]:
    match data_files:
        case str():
            return [("", [data_files])]
        case list() | tuple():
            return [("", [str(pattern) for pattern in data_files])]
        case dict():
            return [(str(split), _patterns_of(named)) for split, named in data_files.items()]
    return []


def _patterns_of(named: Any) -> list[str]:
    return [str(pattern) for pattern in named] if isinstance(named, (list, tuple)) else [str(named)]


def _named(spec: DatasetSpec, data_files: Any, base: Path) -> tuple[Path, ...]:
    patterns = dict(_patterns(data_files))
    wanted = patterns.get(spec.split, patterns.get(""))
    if wanted is None:
        raise spec.no_split(sorted(patterns))
    files: list[Path] = []
    for pattern in wanted:
        path = base / pattern
        found = [path]
        if set(pattern) & set("*?["):
            above = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else base
            found = sorted(above.glob(str(Path(pattern).relative_to(above)) if above != base else pattern))
        if not found or not all(map(_is_data, found)):
            raise spec.error(
                "dataset_kwargs.data_files", f"{path} does not exist", "correct the path; it is relative to the dataset"
            )
        files += found
    return tuple(files)


def _format(spec: DatasetSpec, path: Path) -> str:
    format_ = _suffix_format(path)
    if format_ is None:
        raise spec.error(
            "dataset_path",
            f"{path.name} is of no known format",
            f"known are: {', '.join(_FORMATS)}, with or without .gz",
        )
    return format_


def _is_data(path: Path) -> bool:
    """Whether a path holds rows by itself: a file, or the folder that is a Lance dataset."""
    return path.is_dir() if path.suffix == ".lance" else path.is_file()


def _suffix_format(path: Path) -> str | None:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return _FORMATS.get(suffix.lower())


def _laid_out(spec: DatasetSpec, base: Path, label: str) -> Located:
    if not base.is_dir():
        raise spec.error("dataset_path", f"{base} is no folder", "give the folder that holds the documents")
    splits = _splits(base)
    files = splits.get(spec.split) or splits.get("")
    if not files:
        raise spec.no_split(sorted(splits))
    if not _is_data(files[0]):
        return Located("media", tuple(files), base, f"{label}: {files[0].name}" if files[0] != base else label)
    formats = {_format(spec, file) for file in files}
    if len(formats) > 1:
        names = ", ".join(file.name for file in files)
        raise spec.error(
            "dataset_path", f"split {spec.split} lies there more than once ({names})", "name one with data_files"
        )
    return Located(
        formats.pop(), tuple(files), base, f"{label}: {', '.join(str(file.relative_to(base)) for file in files)}"
    )


def _splits(base: Path) -> dict[str, list[Path]]:
    """Split → files (or one folder with media); the split "" stands for every name."""
    if (base / "state.json").is_file():
        state = json.loads((base / "state.json").read_bytes())
        return {state.get("_split") or "": [base / shard["filename"] for shard in state["_data_files"]]}
    if _has_metadata(base):
        return {"": [base]}
    found: dict[str, list[Path]] = {}
    for directory in (base, base / "data"):
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if _is_data(path) and path.name not in _NOT_DATA and _suffix_format(path):
                stem = path.name.partition(".")[0]
                found.setdefault(_SHARD.sub("", stem), []).append(path)
            elif path.is_dir() and not path.name.startswith(".") and path != base / "data":
                found.setdefault(path.name, []).extend(_folder_files(path))
    found = {split: files for split, files in found.items() if files}
    splits = {split: files for split, files in found.items() if _is_data(files[0]) or _is_split(files[0])}
    return splits if splits or not _holds_media(base) else {"": [base]}


def _folder_files(folder: Path) -> list[Path]:
    if _has_metadata(folder):
        return [folder]
    files = [path for path in sorted(folder.rglob("*")) if path.name not in _NOT_DATA and _suffix_format(path)]
    files = [path for path in files if not any(above.suffix == ".lance" for above in path.parents)]
    return files or ([folder] if _holds_media(folder) else [])


def _is_split(folder: Path) -> bool:
    """Whether a folder with media is a split: it describes or sorts its media, or is called like one."""
    usual = folder.name in {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}
    return usual or _has_metadata(folder) or any(_holds_media(path) for path in folder.iterdir() if path.is_dir())


def _has_metadata(folder: Path) -> bool:
    return any((folder / name).is_file() for name in METADATA)


def _holds_media(folder: Path) -> bool:
    return any(path.suffix.lower() in MEDIA_SUFFIXES for path in folder.rglob("*"))
