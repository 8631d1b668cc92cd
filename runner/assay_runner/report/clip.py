"""Records cut to what a page can show: plain JSON of bounded size, in which every cut is marked as one.

A text that was cut is `{"!cut": [its beginning, characters left out, its end]}`; a list or mapping that was cut ends in
`{"!more": members left out}`. Numbers that JavaScript cannot hold are text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

LARGEST_ROW = 64 << 10
"""Bytes of one row at most."""
_LIMITS = ((6000, 200), (600, 40), (80, 16))
"""Characters of a text and members of a list, tried one after the other until the row is small enough."""
_DEEPEST = 30
_LARGEST_INTEGER = 2**53
_IN_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ALIKE = bytes.maketrans(b"123456789:[", b"000000000,,")
_LONG_NUMBER = b"," + b"0" * 16
"""In JSON without spaces and minus signs, its characters made alike: what may be an integer that JavaScript cannot hold."""
_ESCAPES = [(character.encode(), escape.encode()) for character, escape in _IN_HTML.items()]
_ASCII_ESCAPES = [(character, escape) for character, escape in _ESCAPES if character.isascii()]
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def row(line: bytes, sample: str, task: int) -> bytes:
    """A record as JSON that may stand inside a script element, of at most `LARGEST_ROW` bytes.

    Args:
        line: the record's canonical line.
        sample: its id, which is left out.
        task: the task's number, which is put in.
    """
    named = b'"id":%s,' % _JSON.encode(sample).encode()
    # Most lines need no cut and no care: they are not parsed, which is many times faster.
    plain = len(line) <= _LIMITS[0][0] and line.count(named) == 1
    marked = b"!" in line and (b"!cut" in line or b"!more" in line)
    if plain and not marked and _LONG_NUMBER not in line.translate(_ALIKE, b"-"):
        return b'{"task":%d,' % task + _quoted(line.replace(named, b"")[1:])
    return cut({"task": task} | {key: value for key, value in json.loads(line).items() if key != "id"})


def cut(record: Mapping[str, Any]) -> bytes:
    """The record's row, cut until it is small enough."""
    for text, members in _LIMITS:
        found = island(clipped(record, text, members))
        if len(found) <= LARGEST_ROW:
            return found
    # What is left is wide at every depth; its names and numbers must do.
    return island(
        {key: value for key, value in clipped(record, *_LIMITS[-1]).items() if not isinstance(value, list | dict)}
    )


def island(value: Any) -> bytes:
    """Plain data as JSON that no parser of HTML takes for markup."""
    return _quoted(_JSON.encode(value).encode())


def clipped(value: Any, text: int, members: int, depth: int = 0) -> Any:
    """The value with texts of at most `text` characters and at most `members` members at each place."""
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, text)
        case int():
            return value if -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER else _text(_digits(value), text)
        case float():
            return value if math.isfinite(value) else repr(value)
        case _ if depth >= _DEEPEST:
            return {"!more": 1}
        case Mapping():
            shown = {_key(key): clipped(inner, text, members, depth + 1) for key, inner in _first(value, members)}
            return shown | ({"!more": len(value) - members} if len(value) > members else {})
        case list() | tuple():
            rest = [{"!more": len(value) - members}] if len(value) > members else []
            return [clipped(inner, text, members, depth + 1) for inner in value[:members]] + rest
    return _text(repr(value), text)


def _quoted(text: bytes) -> bytes:
    for character, escape in _ASCII_ESCAPES if text.isascii() else _ESCAPES:
        text = text.replace(character, escape)
    return text


def _text(value: str, most: int) -> Any:
    if len(value) <= most:
        return _clean(value)
    half = most // 2
    return {"!cut": [_clean(value[:half]), len(value) - 2 * half, _clean(value[-half:])]}


def _clean(text: str) -> str:
    """Lone surrogates, which no encoding of a page can hold, become U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _key(key: Any) -> str:
    """A name in a mapping; one that looks like a mark of this module gets a second exclamation mark."""
    name = _clean(str(key)[:80])
    return f"!{name}" if name in ("!cut", "!more") else name


def _first(value: Mapping[Any, Any], members: int) -> list[tuple[Any, Any]]:
    return [pair for pair, _ in zip(value.items(), range(members), strict=False)]


def _digits(value: int) -> str:
    # Python refuses to write out integers of thousands of digits.
    return str(value) if value.bit_length() < 4000 else hex(value)
