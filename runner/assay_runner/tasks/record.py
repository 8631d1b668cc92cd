"""`Sample` and what becomes of it: the record of one question, one answer (or why there is none) and its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay_api.records import SampleError, SampleRecord, Usage
from assay_runner.backends.base import Request, Response
from assay_runner.tasks.answer import answer_of
from assay_runner.tasks.score import Scored


@dataclass(frozen=True, slots=True)
class Sample:
    """One document asked once: its requests, and what the record says of the question."""

    id: str
    document: int
    repeat: int
    requests: tuple[Request, ...]
    prompt: list[dict[str, Any]]
    target: Any
    choices: tuple[str, ...] | None
    document_id: str | None
    cluster: str | None


def failure_of(answers: Sequence[Response]) -> SampleError | None:
    """The first error among the answers to a sample's requests."""
    for answer in answers:
        if answer.error is not None:
            return SampleError(kind=answer.error.kind, message=answer.error.message)
    return None


def record_of(
    sample: Sample,
    answers: Sequence[Response],
    failure: SampleError | None,
    scored: Scored,
    *,
    queue: float | None,
    scoring: float,
) -> SampleRecord:
    """The record of a sample; with a failure it has no items, but still what the model answered.

    Args:
        queue: seconds that the sample waited in the worker.
        scoring: seconds that its score took.
    """
    error = scored.error
    if failure is None and error is not None:
        failure = SampleError(kind=error.kind, message=error.message)
    latencies = [answer.latency for answer in answers if answer.latency is not None]
    first_tokens = [answer.first_token for answer in answers if answer.first_token is not None]
    return SampleRecord(
        id=sample.id,
        document=sample.document,
        repeat=sample.repeat,
        document_id=sample.document_id,
        cluster=sample.cluster,
        prompt=sample.prompt,
        target=sample.target,
        choices=list(sample.choices) if sample.choices is not None else None,
        answers=[answer_of(answer) for answer in answers],
        filtered=dict(scored.filtered),
        items=dict(scored.items) if failure is None else {},
        error=failure,
        attempts=max((answer.attempts for answer in answers), default=0),
        usage=Usage(
            tokens_in=_total([answer.tokens_in for answer in answers]),
            tokens_out=_total([answer.tokens_out for answer in answers]),
            latency=max(latencies, default=None),
            first_token=min(first_tokens, default=None),
            tokens_reasoning=_total([answer.tokens_reasoning for answer in answers]),
            queue=_short(queue),
            decoding=_short(_sum([answer.decoding for answer in answers])),
            encoding=_short(_sum([answer.encoding for answer in answers])),
            scoring=_short(scoring),
        ),
    )


def _short(seconds: float | None) -> float | None:
    """To tenths of a millisecond: shorter ones say nothing, and would be most of a record."""
    return None if seconds is None else round(seconds, 4)


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return sum(known) if known else None


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
