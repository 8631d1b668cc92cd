"""A completion document as the stream of events in which a server would send it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def events_of(document: dict[str, Any], size: int = 1) -> Iterator[bytes]:
    """The events, texts cut into pieces of `size` characters; the usage comes last, as with `include_usage`."""
    choice = document["choices"][0]
    for part in _parts(choice, size):
        yield _event({"choices": [{"index": 0, **part}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": choice.get("finish_reason")}]})
    yield _event({"choices": [], "usage": document.get("usage")})
    yield b"data: [DONE]\n\n"


def _parts(choice: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    if "message" not in choice:
        yield from ({"text": piece} for piece in _pieces(choice["text"], size))
        if choice.get("logprobs"):
            yield {"text": "", "logprobs": choice["logprobs"]}
        return
    message = choice["message"]
    yield {"delta": {"role": "assistant", "content": ""}}
    for name in ("reasoning_content", "content"):
        yield from ({"delta": {name: piece}} for piece in _pieces(message.get(name) or "", size))
    for place, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        for piece in (
            {"name": function["name"]},
            *({"arguments": text} for text in _pieces(function["arguments"], size)),
        ):
            yield {"delta": {"tool_calls": [{"index": place, "function": piece}]}}
    if choice.get("logprobs"):
        yield {"delta": {}, "logprobs": choice["logprobs"]}


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
