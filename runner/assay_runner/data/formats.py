"""Reading rows out of files, a piece at a time, with what is wrong in a file told by file and line.

JSON that is one list, and CSV whose types must be known, are the two exceptions to streaming: the first is held in
memory, the second is read twice.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from assay_api.errors import SpecError
from assay_runner.data.media_columns import MediaFiles, media_tree, with_media

Row = dict[str, Any]
Options = Mapping[str, Any]

_BATCH = 64
_BLOBS = 4
"""Rows at a time of a dataset with blobs, which may be videos."""
_LONGEST_CELL = 1 << 27
_INT = re.compile(r"[+-]?[0-9]{1,18}")  # more digits are an identifier: they stay text
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise SpecError(str(path), "", "it is not UTF-8 text", "save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise SpecError(str(path), "", f"it cannot be read ({error})", "check the file") from error


def read_jsonl(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """One object (or, with `columns`, one list) per line; blank lines do not count."""
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(_parse(line.rstrip(), path, f"line {number}"), chosen, path, f"line {number}")


def read_json(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """A list of objects; an object with the list under `field`; a list of lists, with `columns`; or JSON lines."""
    with _text(path) as file:
        head = next((line for line in file if line.strip()), "")
    lines = path.suffix in (".jsonl", ".ndjson")
    if "field" not in chosen and (lines or (head.lstrip().startswith("{") and _is_json(head))):
        yield from read_jsonl(path, chosen, files)
        return
    with _text(path) as file:
        content = _parse(file.read(), path, "")
    for number, item in enumerate(_list(content, chosen, path)):
        yield _object(item, chosen, path, f"item {number}")


def _list(content: Any, chosen: Options, path: Path) -> Sequence[Any]:
    if "field" in chosen:
        for part in str(chosen["field"]).split("."):
            if not isinstance(content, dict) or part not in content:
                known = ", ".join(content) if isinstance(content, dict) else "none, it is a list"
                raise SpecError(str(path), "", f"there is no field {chosen['field']}", f"its fields are: {known}")
            content = content[part]
    if isinstance(content, list):
        return content
    if isinstance(content, dict):
        known = ", ".join(list(content)[:20])
        raise SpecError(
            str(path),
            "",
            "it holds one object instead of a list",
            f"name with dataset_kwargs.field which of these is it: {known}",
        )
    raise SpecError(str(path), "", f"it holds a {type(content).__name__}", "it should hold a list of objects")


def _object(item: Any, chosen: Options, path: Path, place: str) -> Row:
    columns = chosen.get("columns")
    if isinstance(item, dict):
        return item
    if not isinstance(item, list):
        raise SpecError(str(path), place, f"a document is no {type(item).__name__}", "it should be an object")
    if columns is None:
        raise SpecError(str(path), place, "a document is a list", "name its values with dataset_kwargs.columns")
    if len(item) != len(columns):
        raise SpecError(
            str(path),
            place,
            f"there are {len(item)} values for {len(columns)} columns",
            "correct dataset_kwargs.columns",
        )
    return dict(zip(columns, item, strict=True))


def _parse(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = place or f"line {error.lineno}"
        raise SpecError(
            str(path), at, f"it is not valid JSON ({error.msg}, column {error.colno})", "correct it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(str(path), place, f"it cannot be read as JSON ({error})", "correct it") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def read_csv(path: Path, chosen: Options, files: MediaFiles, separator: str = ",") -> Iterator[Row]:
    """Rows below a header (or with `column_names`); a column whose cells all are ints, floats or truth values becomes
    that."""
    fitting: dict[str, list[_Cast]] = {}
    for row in _csv_rows(path, chosen, separator):
        for column, cell in row.items():
            casts = fitting.setdefault(column, _CASTS)
            if cell and len(casts) > 1:
                fitting[column] = [cast for cast in casts if cast.fits(cell)]
    for row in _csv_rows(path, chosen, separator):
        yield {column: fitting[column][0].value(cell) if cell else None for column, cell in row.items()}


def _csv_rows(path: Path, chosen: Options, separator: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(_LONGEST_CELL)
    with _text(path) as file:
        reader = csv.reader(file, delimiter=chosen.get("delimiter") or chosen.get("sep") or separator, strict=True)
        try:
            columns = chosen.get("column_names") or next(reader, None)
            for cells in reader:
                if len(cells) > len(columns or ()):
                    place = f"line {reader.line_num}"
                    raise SpecError(
                        str(path),
                        place,
                        f"there are more cells than the {len(columns or ())} columns",
                        "quote the commas",
                    )
                if cells:
                    yield dict(zip(columns or (), cells + [""] * (len(columns or ()) - len(cells)), strict=True))
        except csv.Error as error:
            raise SpecError(
                str(path), f"line {reader.line_num}", f"it is not valid CSV ({error})", "correct it"
            ) from error


def _is_int(cell: str) -> bool:
    return bool(_INT.fullmatch(cell))


def _is_float(cell: str) -> bool:
    return bool(_FLOAT.fullmatch(cell)) and (_is_int(cell) or not cell.lstrip("+-").isdigit())


@dataclass(frozen=True, slots=True)
class _Cast:
    fits: Callable[[str], bool]
    value: Callable[[str], Any]


# Narrowest first: a column becomes the first that all its cells fit.
_CASTS = [
    _Cast(_is_int, int),
    _Cast(_is_float, float),
    _Cast(lambda cell: cell.lower() in ("true", "false"), lambda cell: cell.lower() == "true"),
    _Cast(lambda cell: True, str),
]


def read_tsv(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """CSV with tabs."""
    return read_csv(path, chosen, files, "\t")


def read_text(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """One document {text} per line, without its end; blank lines count."""
    with _text(path) as file:
        for line in file:
            yield {"text": line.rstrip("\r\n")}


def read_parquet(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """Rows in small batches; Image, Audio and Video columns of the hub's metadata become media."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield from arrow_rows(file.iter_batches(batch_size=_BATCH), file.schema_arrow, files)
    except (ArrowException, OSError) as error:
        raise SpecError(
            str(path), "", f"it is no readable Parquet file ({_first_line(error)})", "check the file"
        ) from error


def read_arrow(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """Rows of an Arrow stream or file, as `datasets` saves them."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                reader = pa.ipc.open_stream(source)
                batches: Iterator[Any] = iter(reader)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            yield from arrow_rows(batches, reader.schema, files)
    except (pa.ArrowException, OSError) as error:
        raise SpecError(
            str(path), "", f"it is no readable Arrow file ({_first_line(error)})", "check the file"
        ) from error


def read_lance(path: Path, chosen: Options, files: MediaFiles) -> Iterator[Row]:
    """Rows of a Lance dataset's latest version, in its own order, with the bytes of its blobs."""
    try:
        import lance
    except ImportError as error:
        raise SpecError(
            str(path), "", "Lance datasets need a library that is not installed", "pip install 'assay[lance]'"
        ) from error

    try:
        dataset = lance.dataset(str(path))
        blobs = any("blob" in str(field.type) or _marks_blobs(field.metadata) for field in dataset.schema)
        batches = dataset.to_batches(batch_size=_BLOBS if blobs else _BATCH, blob_handling="all_binary")
        yield from arrow_rows(batches, dataset.schema, files)
    except (OSError, ValueError) as error:
        raise SpecError(
            str(path), "", f"it is no readable Lance dataset ({_first_line(error)})", "check the folder"
        ) from error


def _marks_blobs(metadata: Mapping[bytes, bytes] | None) -> bool:
    return (metadata or {}).get(b"lance-encoding:blob") == b"true"


def arrow_rows(batches: Iterator[Any], schema: Any, files: MediaFiles) -> Iterator[Row]:
    """Rows of record batches or tables, one small slice in memory at a time.

    Raises:
        MediaError: a medium is missing or of an unknown kind.
    """
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    tree = media_tree(metadata.get("info", {}).get("features", {})) or {}
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            for row in batch.slice(start, _BATCH).to_pylist():
                yield {column: with_media(value, tree.get(column), files, column) for column, value in row.items()}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


READERS: Mapping[str, Callable[[Path, Options, MediaFiles], Iterator[Row]]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "text": read_text,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "lance": read_lance,
}
