"""Requests in the OpenAI wire format, as pure functions: a request becomes the bytes of a body.

Media travel as base64 of the encoded bytes they already are. Every sampling setting of a request is in its body. Servers
differ in the names of a few: `Dialect` says which are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from assay_runner.backends.base import Generation, Message, Part, Request, Text
from assay_runner.backends.media_text import MediaText

Api = Literal["chat", "completions"]

RESERVED = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "echo", "logprobs", "top_logprobs"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "seed"}
    | {"repetition_penalty", "repeat_penalty"}
)
"""Body fields that a request itself decides; `extra_body` may not name them."""

_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}


class UnsupportedError(Exception):
    """The request holds what this API cannot carry."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server calls things, and what is asked of it besides text."""

    limit: str = "max_tokens"
    """Name of the most tokens to generate; some servers take max_completion_tokens only."""
    repetition_penalty: str = "repetition_penalty"
    """As vLLM and SGLang call it; llama.cpp, which ignores names that it does not know, says repeat_penalty."""
    logprobs: int | None = None
    """Log-probabilities of generated tokens, each beside so many likeliest ones; None for none at all."""
    stream: bool = False


PLAIN = Dialect()


def encode_chat(
    model: str, request: Request, extra: Mapping[str, Any], media: MediaText, dialect: Dialect = PLAIN
) -> bytes:
    """The body of a `chat/completions` call.

    Raises:
        MediaError: a medium cannot be read.
        UnsupportedError: audio that is neither WAV nor MP3.
    """
    messages = [_message(message, media) for message in request.messages]
    fields = {"model": model, "messages": messages} | _sampling(request.generation, request.seed, dialect)
    if dialect.logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": dialect.logprobs}
    return _body(fields, extra)


def encode_completion(model: str, request: Request, extra: Mapping[str, Any], dialect: Dialect = PLAIN) -> bytes:
    """The body of a `completions` call.

    Raises:
        UnsupportedError: the request has no raw prompt (it holds media).
    """
    if request.prompt is None:
        raise UnsupportedError("the request holds media, which the completions API cannot carry; use api: chat")
    fields = {"model": model, "prompt": request.prompt} | _sampling(request.generation, request.seed, dialect)
    if dialect.logprobs is not None:
        fields["logprobs"] = dialect.logprobs
    return _body(fields, extra)


def encode_scoring(model: str, request: Request, extra: Mapping[str, Any]) -> bytes:
    """The body of a `completions` call that echoes the prompt with its log-probabilities. One token is generated
    besides, because not every server accepts none.

    Raises:
        UnsupportedError: the request has no raw prompt, or an empty one.
    """
    if request.prompt is None:
        raise UnsupportedError("log-likelihoods of requests with media are not offered by the completions API")
    if not request.prompt.strip() or not request.continuation:
        raise UnsupportedError("a continuation can be scored only after a prompt; one of them is empty")
    prompt = request.prompt + request.continuation
    fields = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "seed": request.seed}
    return _body(fields | {"echo": True, "logprobs": 1}, extra)


def _body(fields: dict[str, Any], extra: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields | dict(extra))
    except UnicodeEncodeError as error:
        raise UnsupportedError("the text holds half of a surrogate pair, which is no Unicode text") from error


def _sampling(generation: Generation, seed: int, dialect: Dialect) -> dict[str, Any]:
    fields: dict[str, Any] = {
        dialect.limit: generation.max_new_tokens,
        "temperature": generation.temperature,
        "seed": seed,
        "top_p": generation.top_p,
        "stop": list(generation.stop) or None,
        "top_k": generation.top_k,
        dialect.repetition_penalty: generation.repetition_penalty,
        "stream": dialect.stream or None,
        "stream_options": {"include_usage": True} if dialect.stream else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _message(message: Message, media: MediaText) -> dict[str, Any]:
    if all(isinstance(part, Text) for part in message.parts):
        text = "".join(part.text for part in message.parts if isinstance(part, Text))
        return {"role": message.role, "content": text}
    return {"role": message.role, "content": [_part(part, media) for part in message.parts]}


def _part(part: Part, media: MediaText) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind == "audio" and part.mime not in _AUDIO:
        raise UnsupportedError(f"audio of type {part.mime} cannot be sent; the API takes WAV and MP3")
    encoded = media.of(part)
    if part.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": encoded, "format": _AUDIO[part.mime]}}
    name = f"{part.kind}_url"
    return {"type": name, name: {"url": f"data:{part.mime};base64,{encoded}"}}
