"""The rows of record files for speed: `SampleRecord` once more, as structs that a C parser reads and writes.

The vocabulary's models say what a row may hold. This twin never decides otherwise: what it takes, the models take to the
same values and the same canonical bytes, and where it is not sure it refuses, so that the models are asked. A test holds
the two against each other. It imports neither pydantic nor the vocabulary, for processes that are to stay small.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from assay_api.encoding import canonical


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Closed to unknown fields; what has its default value is not written."""


class ErrorRow(_Part):
    """`SampleError`."""

    kind: str
    message: str


class UsageRow(_Part):
    """`Usage`."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    latency: float | None = None
    first_token: float | None = None


class AnswerRow(_Part):
    """`Answer`."""

    text: str | None = None
    logprob: float | None = None
    greedy: bool | None = None
    tokens: int | None = None
    finish_reason: str | None = None
    reasoning: str | None = None


class Row(_Part, kw_only=True):
    """`SampleRecord`; a record without usage has None here."""

    id: str
    document: int
    repeat: int
    document_id: str | None = None
    cluster: str | None = None
    prompt: list[dict[str, Any]] = []
    target: Any = None
    choices: list[str] | None = None
    answers: list[AnswerRow] = []
    filtered: dict[str, Any] = {}
    items: dict[str, Any] = {}
    error: ErrorRow | None = None
    attempts: int = 1
    usage: UsageRow | None = None


_DECODER = msgspec.json.Decoder(Row)
_ENCODER = msgspec.json.Encoder(order="sorted")
_NO_USAGE = UsageRow()


def decode_rows(text: bytes) -> list[Row] | None:
    """The rows of `text`, one line each, when they are canonical and surely valid; else None.

    Canonical means that encoding them again gives the same bytes, so that `text` may be copied where rows are written.
    """
    try:
        rows = _DECODER.decode_lines(text)
        again = _ENCODER.encode_lines(rows)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    if any([row.document < 0 or row.repeat < 0 or row.attempts < 0 or row.usage == _NO_USAGE for row in rows]):
        return None
    return rows if again == text or _same_lines(text, again) else None


def encode_row(row: Row) -> bytes:
    """The row's line, with its end. Floats need not be written as canonical JSON writes them."""
    return _ENCODER.encode(row) + b"\n"


def _same_lines(text: bytes, again: bytes) -> bool:
    """Whether `again` is `text` but for the way floats are written: canonical JSON writes 1e-05, the encoder 0.00001."""
    given, found = text.split(b"\n"), again.split(b"\n")
    if len(given) != len(found):
        return False
    different = [(one, other) for one, other in zip(given, found, strict=True) if one != other]
    try:
        return all(canonical(json.loads(other)) == one for one, other in different)
    except (ValueError, RecursionError):
        return False
