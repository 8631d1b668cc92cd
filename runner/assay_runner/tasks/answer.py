"""What a model gave for one request, as its record keeps it and as a task's own scoring may read it."""

from __future__ import annotations

import math

from assay_api.records import Answer, ToolCall
from assay_api.records import TokenLogprobs as Logprobs
from assay_runner.backends.base import Response, TokenLogprobs
from assay_runner.tasks.items import to_plain


def answer_of(response: Response) -> Answer:
    """The answer without its times."""
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
