"""Loading a split as documents: from a package, from files, or from the hub, always as plain data with encoded
media.

Rows are read as they are asked for; only `process_docs`, which is a function of the whole dataset, needs all of them
at once. What is wrong with a row is told by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from assay_api.errors import SpecError
from assay_runner.data.folders import read_media_folder
from assay_runner.data.formats import READERS, Row
from assay_runner.data.locate import Located, locate
from assay_runner.data.media_columns import MediaFiles, MediaTemplates
from assay_runner.data.remote import ahead
from assay_runner.data.spec import DatasetSpec, local_options, options
from assay_runner.data.values import Doc, NotPlainError, plain_row
from assay_runner.media import MediaError

__all__ = ["DatasetSpec", "Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Documents as they come (once), and where from: for people, without places of this machine."""

    rows: Iterator[Doc]
    source: str


def load(spec: DatasetSpec, process_docs: Any = None, limit: int | None = None) -> Loaded:
    """The documents of a split; `limit` counts after `process_docs`.

    Missing files and splits show at once, a bad row when it is reached.

    Raises:
        SpecError: the dataset, its part, its split, a file or a row is not there or not what it should be; there are
        no documents.
        Failed: the hub cannot be reached.
    """
    located = locate(spec, options(spec))
    loaded = _from_hub(spec, process_docs) if located is None else _from_files(spec, located, process_docs)
    rows = islice(loaded.rows, limit)
    first = next(rows, None)
    if first is None:
        after = " after process_docs" if process_docs else ""
        raise spec.error(
            "dataset_path",
            f"split {spec.split} of {spec.path} has no documents{after}",
            "check the split and its files",
        )
    return Loaded(chain([first], rows), loaded.source)


def _from_files(spec: DatasetSpec, located: Located, process_docs: Any) -> Loaded:
    files = MediaFiles(located.root, addresses=spec.media_from)
    chosen = local_options(spec)
    if located.format == "media":
        raw: Iterator[Row] = chain.from_iterable(
            read_media_folder(folder, located.root, files) for folder in located.files
        )
    else:
        raw = chain.from_iterable(READERS[located.format](file, chosen, files) for file in located.files)
    return Loaded(_finished(raw, spec, located.root, located.source, process_docs), located.source)


def _from_hub(spec: DatasetSpec, process_docs: Any) -> Loaded:
    from assay_runner.data.hub import cache_folders, load_hub
    from assay_runner.data.processing import call, dataset_rows, import_datasets

    datasets = import_datasets(spec)
    dataset, source = load_hub(spec, options(spec), datasets)
    if process_docs and not spec.media:
        dataset, process_docs = call(process_docs, dataset, spec), None
    raw = dataset_rows(dataset, MediaFiles(*cache_folders(datasets), addresses=spec.media_from), spec)
    return Loaded(_finished(raw, spec, spec.base, source, process_docs), source)


def _finished(raw: Iterator[Row], spec: DatasetSpec, root: Path, source: str, process_docs: Any) -> Iterator[Doc]:
    templates = MediaTemplates(spec, root)
    rows = map(plain_row, raw)
    docs = _numbered(ahead(templates.apply, rows) if templates.waits else map(templates.apply, rows), source)
    if process_docs is None:
        return docs
    from assay_runner.data.processing import processed

    return _numbered(map(plain_row, processed(docs, process_docs, spec, root)), f"{source} after process_docs")


def _numbered(docs: Iterable[Doc], source: str) -> Iterator[Doc]:
    iterator = iter(docs)
    number = 0
    while True:
        try:
            doc = next(iterator)
        except StopIteration:
            return
        except (MediaError, NotPlainError) as error:
            raise SpecError(
                source, f"document {number}", str(error), "correct the data or the task's columns"
            ) from error
        yield doc
        number += 1
