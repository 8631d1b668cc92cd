"""The rows of record files for speed: `SampleRecord` once more, as structs that a C parser reads and writes.

The vocabulary's models say what a row may hold. This twin never decides otherwise: a row that it takes, the models take
with the same values, and where it is not sure it refuses, so that the models are asked. A test holds the two against each
other. It imports neither pydantic nor the vocabulary, for processes that are to stay small.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Annotated, Any

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
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
    tokens_reasoning: int | None = None
    queue: float | None = None
    decoding: float | None = None
    encoding: float | None = None
    scoring: float | None = None


class CallRow(_Part):
    """`ToolCall`."""

    name: str
    arguments: str


class LogprobsRow(_Part):
    """`TokenLogprobs`."""

    tokens: list[str]
    logprobs: list[float]
    top: list[list[tuple[str, float]]] = []


class AnswerRow(_Part):
    """`Answer`."""

    text: str | None = None
    logprob: float | None = None
    greedy: bool | None = None
    tokens: int | None = None
    finish_reason: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallRow] | msgspec.UnsetType = msgspec.UNSET
    logprobs: LogprobsRow | None = None
    frames: list[list[int]] | msgspec.UnsetType = msgspec.UNSET


class ObjectRow(msgspec.Struct, gc=False):
    """Any object; no more of it is looked at."""


class Row(_Part, kw_only=True):
    """`SampleRecord`."""

    id: str
    document: _Count
    repeat: _Count
    document_id: str | None = None
    cluster: str | None = None
    prompt: list[ObjectRow] = []
    target: Any = None
    choices: list[str] | None = None
    answers: list[AnswerRow] = []
    filtered: ObjectRow | msgspec.UnsetType = msgspec.UNSET
    items: dict[str, Any] = {}
    error: ErrorRow | None = None
    attempts: _Count = 1
    usage: UsageRow | msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(Row)
_ENCODER = msgspec.json.Encoder(order="sorted")


def decode_rows(text: bytes, lines: Sequence[bytes]) -> list[Row] | None:
    """The rows of `text`, whose lines are given, one each, when all are surely valid; else None. What messages say and
    filters kept is not in them: few ask for it (`decode_filtered`), and it takes long to make."""
    try:
        if not text.isascii():
            text.decode()
        rows = _DECODER.decode_lines(text)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    return rows if len(lines) == len(rows) and text.endswith(b"\n") else None


class _Filtered(msgspec.Struct):
    filtered: dict[str, Any] = {}


_FILTERED = msgspec.json.Decoder(_Filtered)


def decode_filtered(line: bytes) -> dict[str, Any]:
    """What the filters kept of a valid row's answers."""
    return _FILTERED.decode(line).filtered


def split_lines(text: bytes) -> list[bytes]:
    """The lines of `text` with their ends; several times as fast as `split`, which looks at every byte by itself."""
    return BytesIO(text).readlines()


def encode_row(row: Row) -> bytes:
    """The row's line, with its end. Floats may be written otherwise than canonical JSON writes them."""
    return _ENCODER.encode(row) + b"\n"
