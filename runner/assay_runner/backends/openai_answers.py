"""Answers in the OpenAI wire format, as pure functions: the bytes of a body, whole or streamed, become an answer.

What a model thinks, calls and says are kept apart, so that nothing but what it says is scored as its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from assay_runner.backends.base import TokenLogprobs, ToolCall
from assay_runner.backends.openai_logprobs import token_logprobs
from assay_runner.backends.openai_replies import BadResponseError, FilteredError
from assay_runner.backends.openai_stream import joined
from assay_runner.backends.openai_wire import Api
from assay_runner.backends.stopping import cut

_THINK, _THOUGHT = "<think>", "</think>"


class Answer(NamedTuple):
    """What a body says. `text` ends before the first stop string; it is empty when the model only thought or called."""

    text: str
    finish_reason: str | None
    reasoning: str | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_reasoning: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: TokenLogprobs | None = None


def decode_generation(
    body: bytes,
    api: Api,
    stop: tuple[str, ...],
    *,
    streamed: bool = False,
    tags: bool = False,
    logprobs: bool = False,
) -> Answer:
    """The answer in a body.

    Args:
        streamed: the body may be a stream of events.
        tags: what stands in the text between `<think>` and `</think>` is reasoning.
        logprobs: log-probabilities were asked for.

    Raises:
        BadResponseError: no JSON, no choice, a field of the wrong type, or a stream without its end.
        UnanswerableError: there is no text because a content filter took it, the server gives no log-probabilities, or it
            refused the request in the middle of the stream.
    """
    document, choice = _choice_of(joined(body) if streamed and not body.startswith(b"{") else _parsed(body))
    finish_reason = _optional(choice, "finish_reason", str)
    reasoning: str | None = None
    calls: tuple[ToolCall, ...] = ()
    if api == "chat":
        message = choice.get("message")
        if not isinstance(message, dict):
            raise BadResponseError("choices[0].message is missing")
        reasoning = _optional(message, "reasoning_content", str) or _optional(message, "reasoning", str)
        calls = _tool_calls(message)
        text = _optional(message, "content", str)
        if text is None:
            text = _optional(message, "refusal", str)
        if text is None and (reasoning or calls):
            text = ""  # all tokens went into the reasoning or the calls: that is what the model gave
        name = "choices[0].message.content"
    else:
        text, name = _optional(choice, "text", str), "choices[0].text"
    if text is None and finish_reason == "content_filter":
        raise FilteredError("the server withheld the answer (finish_reason content_filter)")
    if text is None:
        raise BadResponseError(f"{name} is missing")
    if tags and not reasoning:
        reasoning, text = _split(text, cut_off=finish_reason == "length")
    text, stopped = cut(text, stop)
    found = token_logprobs(choice.get("logprobs"), needed=bool(text)) if logprobs else None
    counted = (*tokens(document), _reasoning_tokens(document))
    return Answer(text, "stop" if stopped else finish_reason, reasoning, *counted, calls, found)


def first_choice(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and its first choice.

    Raises:
        BadResponseError: there is none.
    """
    return _choice_of(_parsed(body))


def _choice_of(document: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadResponseError("the body has no choices")
    return document, choices[0]


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(body)  # takes what the strict one does not, such as half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise BadResponseError("the body is no JSON") from error


def tokens(document: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and answer, where the server counts them."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")


def _reasoning_tokens(document: Mapping[str, Any]) -> int | None:
    usage = document.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return _count(details, "reasoning_tokens") if isinstance(details, dict) else None


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise BadResponseError("tool_calls is of the wrong type")
    functions = [call.get("function") if isinstance(call, dict) else None for call in calls]
    found = []
    for function in functions:
        name = function.get("name") if isinstance(function, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise BadResponseError("a tool call names no function")
        # The specification has text; llama.cpp and others have sent the object itself.
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        found.append(ToolCall(name, text or "{}"))
    return tuple(found)


def _split(text: str, *, cut_off: bool) -> tuple[str | None, str]:
    """Reasoning and answer. Chat templates may have opened the tag already, in the prompt."""
    before, closed, after = text.partition(_THOUGHT)
    opened = before.lstrip().startswith(_THINK)
    if closed:
        return before.replace(_THINK, "", 1).strip() or None, after.lstrip()
    if opened and cut_off:
        return before.replace(_THINK, "", 1).strip() or None, ""
    return None, text


def _optional(document: Mapping[str, Any], name: str, kind: type[str]) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadResponseError(f"{name} is of the wrong type")
    return value


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
