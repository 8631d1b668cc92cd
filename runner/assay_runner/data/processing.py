"""Running a task's `process_docs`, which expects a `datasets.Dataset`, and turning what it answers into documents.

Media pass through undecoded: as Image and Audio features with their encoded bytes or their file, so that what the
function does not touch comes back as it was. `datasets` is imported here and in `hub` only, because it takes
seconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay_api.errors import AssayError
from assay_runner.data.formats import Row, arrow_rows
from assay_runner.data.media_columns import MediaFiles
from assay_runner.data.spec import DatasetSpec
from assay_runner.data.values import Doc
from assay_runner.media import Media

ProcessDocs = Callable[[Any], Any]


def processed(docs: Iterable[Doc], process_docs: ProcessDocs, spec: DatasetSpec, root: Path) -> Iterator[Row]:
    """The rows that `process_docs` makes of all documents together.

    Raises:
        SpecError: the function failed, answered something else than documents, or the documents do not fit into
        columns.
        Failed: `datasets` is not installed.
    """
    rows = list(docs)
    with _quiet(import_datasets(spec)):
        dataset = _dataset(rows, spec)
    inside = {
        str(medium.source): medium for row in rows for medium in _direct_media(row) if isinstance(medium.source, Path)
    }
    del rows
    return dataset_rows(call(process_docs, dataset, spec), _Originals(inside, root), spec)


def call(process_docs: ProcessDocs, dataset: Any, spec: DatasetSpec) -> Any:
    """The answer of task code, with its failure as the task's mistake.

    Raises:
        SpecError: the function raised or ended the process.
    """
    datasets = import_datasets(spec)
    try:
        with _quiet(datasets):
            return process_docs(_decodable(dataset, datasets))
    except AssayError:
        raise
    except (Exception, SystemExit) as error:
        problem = f"the function failed with {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise spec.error("process_docs", problem, "correct it; it gets a datasets.Dataset and answers one") from error


def dataset_rows(answer: Any, files: MediaFiles, spec: DatasetSpec) -> Iterator[Row]:
    """Rows of a `datasets.Dataset` without decoding a medium, or of an iterable of objects.

    Raises:
        SpecError: the answer is neither.
    """
    from datasets import Dataset

    if isinstance(answer, Dataset):
        schema = answer.features.arrow_schema
        return arrow_rows(answer.with_format("arrow").iter(batch_size=64), schema, files)
    if isinstance(answer, Iterable) and not isinstance(answer, (str, bytes, dict)):
        return iter(answer)
    raise spec.error(
        "process_docs", f"the function answered a {type(answer).__name__}", "it should answer a datasets.Dataset"
    )


def import_datasets(spec: DatasetSpec) -> Any:
    """The `datasets` library.

    Raises:
        SpecError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise spec.error("dataset_path", "it needs the datasets library", "pip install 'assay[datasets]'") from error
    # Its cache knows a task's function by its name alone: after an edit it would give the rows of the former function.
    datasets.disable_caching()
    return datasets


def _decodable(dataset: Any, datasets: Any) -> Any:
    """The dataset with sounds and videos as {bytes, path} where torchcodec, which decodes them, is not installed.

    `Dataset.filter` decodes every column, also those its function does not look at.
    """
    if importlib.util.find_spec("torchcodec"):
        return dataset
    for column, feature in dataset.features.items():
        if isinstance(feature, (datasets.Audio, datasets.Video)):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    return dataset


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


class _Originals(MediaFiles):
    """Media files that the documents had before, wherever they lie, and others below the root."""

    def __init__(self, originals: dict[str, Media], root: Path) -> None:
        super().__init__(root)
        self._originals = originals

    def get(self, name: str, base: Path | None = None) -> Media:
        return self._originals.get(name) or super().get(name, base)


def _dataset(rows: list[Doc], spec: DatasetSpec) -> Any:
    datasets = import_datasets(spec)
    names = list(dict.fromkeys(column for row in rows for column in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    features = {name: _media_feature(values, name, spec, datasets) for name, values in columns.items()}
    try:
        encoded = {
            name: [_encoded(value) for value in values] if features[name] else values
            for name, values in columns.items()
        }
        dataset = datasets.Dataset.from_dict(encoded)
        wanted = {name: features[name] or feature for name, feature in dataset.features.items()}
        return dataset.cast(datasets.Features(wanted)) if any(features.values()) else dataset
    except (ValueError, TypeError) as error:  # pyarrow's errors are of these two
        reason = str(error).partition("\n")[0]
        raise spec.error(
            "process_docs", f"the documents do not fit into typed columns ({reason})", "give each column one type"
        ) from error


def _media_feature(values: list[Any], column: str, spec: DatasetSpec, datasets: Any) -> Any:
    lists = any(isinstance(value, list) for value in values)
    kinds = {medium.kind for value in values for medium in _direct_media({column: value})}
    if not kinds:
        return None
    if len(kinds) > 1:
        raise spec.error(
            "process_docs", f"column {column} mixes {' and '.join(sorted(kinds))}", "give each kind a column"
        )
    feature = {"image": datasets.Image, "audio": datasets.Audio, "video": datasets.Video}[kinds.pop()]()
    return datasets.List(feature) if lists else feature


def _direct_media(row: Doc) -> Iterator[Media]:
    for value in row.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Media):
                yield inner


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(inner) for inner in value]
    if isinstance(value, Media):
        held = value.source
        return {"bytes": None, "path": str(held)} if isinstance(held, Path) else {"bytes": value.read(), "path": None}
    return value
