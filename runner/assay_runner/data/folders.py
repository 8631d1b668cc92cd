"""Folders with media: described by a metadata file, or sorted into one folder per class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assay_api.errors import SpecError
from assay_runner.data.formats import READERS, Row
from assay_runner.data.locate import MEDIA_SUFFIXES, METADATA
from assay_runner.data.media_columns import MediaFiles


def read_media_folder(folder: Path, base: Path, files: MediaFiles) -> Iterator[Row]:
    """Documents {image | audio | video: medium, …} of one folder, which is `base` or one of the splits below it.

    With metadata.jsonl, .csv or .parquet: its rows in order, where `file_name` is the medium's path, `<x>_file_name`
    fills column x, and `<x>_file_names` column x with a list. Without: the files sorted by path, with `label`, the
    place of their class folder's name among all of them, when there are such folders.

    Raises:
        MediaError: a file is missing or of an unknown kind.
        SpecError: the metadata name no files.
    """
    for name in METADATA:
        if (folder / name).is_file():
            reader = READERS[name.rpartition(".")[2]]
            for row in reader(folder / name, {}, files):
                yield _described(row, folder, files, name)
            return
    yield from _sorted_into_classes(folder, base, files)


def _described(row: Row, folder: Path, files: MediaFiles, metadata: str) -> Row:
    media: Row = {}
    rest: Row = {}
    for column, value in row.items():
        if column == "file_name":
            medium = files.get(str(value), folder)
            media[medium.kind] = medium
        elif column.endswith("_file_name"):
            media[column.removesuffix("_file_name")] = files.get(str(value), folder) if value is not None else None
        elif column.endswith("_file_names"):
            media[column.removesuffix("_file_names")] = [files.get(str(name), folder) for name in value]
        else:
            rest[column] = value
    if not media:
        raise SpecError(str(folder / metadata), "", "no column names the files", "add a column file_name")
    return media | rest


def _sorted_into_classes(folder: Path, base: Path, files: MediaFiles) -> Iterator[Row]:
    # Classes are numbered over all splits, which lie beside each other: one that is missing here keeps its number.
    above_class = len(folder.relative_to(base).parts) + len(base.parts)
    classes = sorted({path.parent.name for path in _media(base) if len(path.parent.parts) > above_class})
    for path in _media(folder):
        medium = files.get(str(path))
        yield {medium.kind: medium} | ({"label": classes.index(path.parent.name)} if path.parent != folder else {})


def _media(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_SUFFIXES)
