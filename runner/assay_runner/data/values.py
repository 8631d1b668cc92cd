"""What a document may hold, and how foreign values become that.

Documents are written by one process and read by others, years apart: they hold plain data only. Every loader hands its
rows through `plain`, so a value that cannot be kept is refused where the column is still known.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

from assay_runner.media import Media

Doc = dict[str, Any]
"""Column → None, bool, int, float, str, bytes, list, dict (with str keys) or Media, nested freely."""

_DEEPEST = 100


class NotPlainError(Exception):
    """A value that a document cannot hold; `column` is the dotted path to it."""

    def __init__(self, column: str, problem: str) -> None:
        self.column, self.problem = column, problem
        super().__init__(f"{column}: {problem}")


def plain_row(row: Any) -> Doc:
    """A row as a document.

    Raises:
        NotPlainError: a value has no plain form, or the row is no mapping.
    """
    if not isinstance(row, dict):
        raise NotPlainError("", f"a document is an object with named columns, not {type(row).__name__}")
    return {_key(key, ""): plain(value, str(key)) for key, value in row.items()}


def plain(value: Any, column: str, depth: int = 0) -> Any:
    """The plain form of `value`, equal on every platform.

    NaN is None (a missing number), tuples and arrays are lists, a Decimal is its digits as text, dates and times are
    ISO 8601 text, a duration is seconds, a UUID is text. Lone surrogates, which UTF-8 cannot hold, become U+FFFD.

    Raises:
        NotPlainError: the value has no plain form.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is bytes or isinstance(value, Media):
        return value
    if kind is str:
        return _text(value)
    if kind is float:
        return None if math.isnan(value) else value
    if depth > _DEEPEST:
        raise NotPlainError(column, f"it is nested deeper than {_DEEPEST} levels")
    if kind is dict:
        return {_key(key, column): plain(inner, f"{column}.{key}", depth + 1) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [plain(inner, column, depth + 1) for inner in value]
    return plain(_foreign(value, column), column, depth + 1)


def _foreign(value: Any, column: str) -> Any:
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and hasattr(value, "tolist"):
        return str(value) if type(value).__name__ == "datetime64" else value.tolist()
    match value:
        case bool() | int():
            return int(value)
        case float():
            return float(value)
        case str():
            return "".join(value)
        case bytearray() | memoryview() | bytes():
            return bytes(value)
        case dict():
            return dict(value)
        case list() | tuple():
            return list(value)
        case Decimal() | uuid.UUID():
            return str(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
    raise NotPlainError(column, f"a {type(value).__name__} cannot be kept in a document")


def _text(value: str) -> str:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _key(key: Any, column: str) -> str:
    if not isinstance(key, str):
        raise NotPlainError(column, f"the key {key!r} is no text")
    return _text(key if type(key) is str else "".join(key))
