"""Streamed answers: server-sent events joined into the document that the server would have sent without streaming, and the
moment at which the first of them holds something that the model generated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from assay_runner.backends.http_faults import judge
from assay_runner.backends.openai_replies import BadResponseError, RefusedError

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_DONE = "[DONE]"


class FirstToken:
    """Watches a stream for the first event that holds text or a call."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, piece: bytes) -> bool:
        """Whether it has come with this piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return any(_holds_something(line) for line in lines if line.startswith(b"data:"))


def joined(body: bytes) -> dict[str, Any]:
    """The document that a stream's events make together.

    Raises:
        BadResponseError: an event is no JSON object, the stream has no end, or the server failed in the middle.
        RefusedError: the server refused the request in the middle.
    """
    message: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": message}
    calls: dict[int, dict[str, str]] = {}
    document: dict[str, Any] = {"choices": [choice]}
    ended = answered = False
    for data in _events(body):
        if data == _DONE:
            ended = True
            break
        event = _object(data)
        _raise_error(event)
        if event.get("usage") is not None:
            document["usage"] = event["usage"]
        for part in _list(event, "choices"):
            if isinstance(part, dict) and part.get("index", 0) == 0:
                answered = True
                _add(part, choice, message, calls)
    if not ended and choice.get("finish_reason") is None:
        raise BadResponseError("the stream ends in the middle")
    if not answered:
        raise BadResponseError("the stream has no choices")
    if calls:
        message["tool_calls"] = [{"function": calls[place]} for place in sorted(calls)]
    return document


def _events(body: bytes) -> Iterator[str]:
    """The data of each event (HTML Living Standard, 9.2.6)."""
    held: list[str] = []
    # Not `splitlines`, which also splits at characters that may stand in the text.
    for line in [*body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"), ""]:
        if line.startswith("data:"):
            held.append(line[5:].removeprefix(" "))
        elif not line and held:
            yield "\n".join(held)
            held = []


def _add(
    part: dict[str, Any], choice: dict[str, Any], message: dict[str, Any], calls: dict[int, dict[str, str]]
) -> None:
    if part.get("finish_reason") is not None:
        choice["finish_reason"] = part["finish_reason"]
    _append(choice, part, "text")
    if isinstance(part.get("logprobs"), dict):
        known = choice.setdefault("logprobs", {})
        for name, values in part["logprobs"].items():
            if isinstance(values, list):
                known[name] = known.get(name, []) + values
    delta = part.get("delta")
    if not isinstance(delta, dict):
        return
    for name in _TEXTS:
        _append(message, delta, name)
    for place, call in enumerate(_list(delta, "tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise BadResponseError("a tool call names no function")
        number = call.get("index", place)
        known = calls.setdefault(number if isinstance(number, int) else place, {})
        _append(known, function, "name")
        _append(known, function, "arguments")


def _append(to: dict[str, Any], part: dict[str, Any], name: str) -> None:
    value = part.get(name)
    if value is None:
        return
    if not isinstance(value, str):
        raise BadResponseError(f"{name} is of the wrong type")
    to[name] = to.get(name, "") + value


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _object(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadResponseError("an event of the stream is no JSON") from error
    if not isinstance(event, dict):
        raise BadResponseError("an event of the stream is no object")
    return event


def _raise_error(event: dict[str, Any]) -> None:
    error = event.get("error")
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    verdict = judge(status, json.dumps({"error": error}).encode(), None)
    if verdict.outcome == "row":
        raise RefusedError(verdict.kind, verdict.message)
    raise BadResponseError(f"the server failed in the middle of the stream ({verdict.message})")


def _holds_something(line: bytes) -> bool:
    try:
        event = json.loads(line[5:])
    except (ValueError, RecursionError):
        return False
    choices = event.get("choices") if isinstance(event, dict) else None
    part = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(part, dict):
        return False
    delta = part.get("delta")
    return bool(part.get("text")) or (
        isinstance(delta, dict) and any(delta.get(name) for name in (*_TEXTS, "tool_calls"))
    )
