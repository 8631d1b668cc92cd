"""`Sample` and what becomes of it: the record of one question, one answer (or why there is none) and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay_api.records import Answer, SampleError, SampleRecord, ToolCall, Usage
from assay_api.records import TokenLogprobs as Logprobs
from assay_runner.backends.base import Request, Response, TokenLogprobs
from assay_runner.tasks.items import to_plain
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
        answers=[_answer(answer) for answer in answers],
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


def _answer(response: Response) -> Answer:
    return Answer(
        text=None if response.text is None else to_plain(response.text, "answer"),
        logprob=response.logprob if response.logprob is not None and math.isfinite(response.logprob) else None,
        greedy=response.greedy,
        tokens=response.tokens,
        finish_reason=response.finish_reason,
        reasoning=None if response.reasoning is None else to_plain(response.reasoning, "answer"),
        tool_calls=[
            ToolCall(name=to_plain(call.name, "answer"), arguments=to_plain(call.arguments, "answer"))
            for call in response.tool_calls
        ],
        logprobs=None if response.logprobs is None else _logprobs(response.logprobs),
        frames=[list(places) for places in response.frames],
    )


def _logprobs(found: TokenLogprobs) -> Logprobs:
    return Logprobs(
        tokens=[to_plain(token, "answer") for token in found.tokens],
        logprobs=list(found.logprobs),
        top=[[(to_plain(token, "answer"), value) for token, value in likeliest] for likeliest in found.top],
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
