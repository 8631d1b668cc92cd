"""What the servers of tests answer: a function of the request alone. Python alone is enough for it, so it runs in any image."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

WORDS = (
    "yes",
    "no",
    "circle",
    "red",
    "teal",
    "black",
    "rectangle",
    "triangle",
    "blue",
    "brown",
    "green",
    "gray",
    "yellow",
)
MODEL = "stub"
"""The model's name, where nothing else is asked for."""


def answered_by_hash(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One of `WORDS`, chosen by a hash of the last text with the media around it (and of the seed, when sampling); with
    `echo`, made-up log-probabilities for the words of the prompt."""
    if path == "completions" and body.get("echo"):
        return echo(body)
    if path == "completions":
        seen = [body["prompt"]]
    else:
        content = body["messages"][-1]["content"]
        seen = [content] if isinstance(content, str) else [json.dumps(part, sort_keys=True) for part in content]
    if body.get("temperature"):
        seen.append(str(body.get("seed")))
    word = WORDS[int(hashlib.sha256("\0".join(seen).encode()).hexdigest(), 16) % len(WORDS)]
    return reply(path, word, "stop", 10, 1)


def reply(path: str, text: str, finish_reason: str, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """A completion document."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
    choice |= {"text": text} if path == "completions" else {"message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {"id": "test", "object": path.replace("/", "."), "created": 1, "choices": [choice], "usage": usage}


def token_logprob(before: str, token: str) -> float:
    """The made-up log-probability of `token` after `before`."""
    return -1 - int(hashlib.sha256(f"{before}\0{token}".encode()).hexdigest(), 16) % 1000 / 250


def echo(body: dict[str, Any]) -> dict[str, Any]:
    """The prompt's words as tokens (each with the space before it), their made-up log-probabilities, one more token."""
    pieces = [*re.findall(r"\s?\S+|\s", body["prompt"]), " end"]
    offsets = [sum(map(len, pieces[:place])) for place in range(len(pieces))]
    before = ["".join(pieces[:place]) for place in range(len(pieces))]
    logprobs = [token_logprob(text, piece) for text, piece in zip(before, pieces, strict=True)]
    top = [
        {piece: value} if value > -3 else {piece: value, "other": -0.1}
        for piece, value in zip(pieces, logprobs, strict=True)
    ]
    found = reply("completions", body["prompt"] + " end", "length", len(pieces) - 1, 1)
    found["choices"][0]["logprobs"] = {
        "tokens": pieces,
        "text_offset": offsets,
        "token_logprobs": [None, *logprobs[1:]],
        "top_logprobs": [None, *top[1:]],
    }
    return found
