"""The record file of a chunk: JSON lines in two zstd frames, a header and then one row per planned sample in planned order.

Every line is canonical JSON without the fields that have their default value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from msgspec import UNSET

from assay_api.base import canonical
from assay_api.errors import Corrupt
from assay_api.records import Answer, RecordsHeader, SampleRecord, TokenLogprobs
from assay_runner.frames import FrameError, compress, lines, split
from assay_runner.rows import AnswerRow, CallRow, ErrorRow, LogprobsRow, Row, UsageRow, encode_row


def encode_records(header: RecordsHeader, records: Sequence[SampleRecord]) -> bytes:
    """The bytes of a record file.

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: a record holds what JSON cannot.
    """
    return compress(header.encode()) + compress(encode_lines(records))


def encode_lines(records: Sequence[SampleRecord]) -> bytes:
    """The lines of records, each with its end; raises as `encode_records`."""
    return b"".join(_line(record) for record in records)


def decode_records(data: bytes, where: str) -> tuple[RecordsHeader, list[SampleRecord]]:
    """Read what `encode_records` wrote; `where` names the object in errors.

    Raises:
        Corrupt: the bytes are no record file.
    """
    try:
        header, rows, _ = split(data)
    except FrameError as error:
        raise Corrupt(f"{where} {error}.") from error
    if rows and not rows.endswith(b"\n"):
        raise Corrupt(f"{where} is truncated.")
    records = [
        SampleRecord.decode(line, f"Line {number} of {where}")
        for number, line in enumerate(rows[:-1].split(b"\n") if rows else (), 2)
    ]
    return RecordsHeader.decode(header, f"The header of {where}"), records


def read_samples(stream: BinaryIO) -> Iterator[dict[str, object]]:
    """The rows of samples.jsonl.zst, read as they are asked for.

    Raises:
        Corrupt: the file is damaged.
    """
    try:
        for line in lines(stream):
            yield json.loads(line)
    except FrameError as error:
        raise Corrupt(f"samples.jsonl.zst {error}.") from error


def _line(record: SampleRecord) -> bytes:
    fast = _row(record)
    return (
        (canonical(record.model_dump(mode="json", exclude_defaults=True)) + b"\n") if fast is None else encode_row(fast)
    )


def _row(record: SampleRecord) -> Row | None:
    """The record for the fast encoder; None when it holds something that the encoder might write otherwise than
    `canonical` does."""
    used, failed = record.usage, record.error
    times = (used.queue, used.decoding, used.encoding, used.scoring)
    usage = UsageRow(used.tokens_in, used.tokens_out, used.latency, used.first_token, used.tokens_reasoning, *times)
    free = [record.prompt, record.target, record.filtered, record.items, used.latency, used.first_token, *times]
    if not _surely(free + [answer.logprob for answer in record.answers]):
        return None
    if not all(_surely(_numbers(one.logprobs)) for one in record.answers if one.logprobs is not None):
        return None
    return Row(
        id=record.id,
        document=record.document,
        repeat=record.repeat,
        document_id=record.document_id,
        cluster=record.cluster,
        prompt=record.prompt,  # type: ignore[arg-type]  # the encoder takes messages as well as their text
        target=record.target,
        choices=record.choices,
        answers=[_answer_row(one) for one in record.answers],
        filtered=record.filtered or UNSET,  # type: ignore[arg-type]
        items=record.items,
        error=None if failed is None else ErrorRow(failed.kind, failed.message),
        attempts=record.attempts,
        usage=UNSET if usage == _NO_USAGE else usage,
    )


def _answer_row(answer: Answer) -> AnswerRow:
    found = answer.logprobs
    return AnswerRow(
        answer.text,
        answer.logprob,
        answer.greedy,
        answer.tokens,
        answer.finish_reason,
        answer.reasoning,
        [CallRow(call.name, call.arguments) for call in answer.tool_calls] or UNSET,
        None if found is None else LogprobsRow(found.tokens, found.logprobs, found.top),
        answer.frames or UNSET,
    )


def _numbers(found: TokenLogprobs) -> list[float]:
    return [*found.logprobs, *(value for likeliest in found.top for _, value in likeliest)]


_NO_USAGE = UsageRow()


_ALIKE = frozenset({str, int, bool, type(None)})


def _surely(value: Any) -> bool:
    """Whether both encoders write `value` alike: plain data, and floats that Python writes without an exponent."""
    kind = type(value)
    if kind in _ALIKE:
        return True
    if kind is float:
        return bool(value == 0 or 1e-4 <= abs(value) < 1e16)
    if kind is dict:
        if any(type(key) is not str for key in value):
            return False
        value = value.values()
    elif kind is not list:
        return False
    # A loop, not `all`: most values are plain, and most calls are for one or two of them.
    for inner in value:  # noqa: SIM110
        if type(inner) not in _ALIKE and not _surely(inner):
            return False
    return True
