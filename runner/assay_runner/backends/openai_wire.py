"""The OpenAI wire format as pure functions: a request becomes the bytes of a body, a body becomes an answer.

Media travel as base64 of the encoded bytes they already are. Every sampling setting of a request is in its body;
`top_k` and `repetition_penalty`, which the OpenAI specification lacks, go by the names that vLLM, SGLang and
llama.cpp share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from assay_runner.backends.base import Generation, Message, Part, Request, Text
from assay_runner.backends.media_text import MediaText
from assay_runner.backends.stopping import cut

Api = Literal["chat", "completions"]

RESERVED = frozenset(
    {"model", "messages", "prompt", "stream", "n", "best_of", "echo", "logprobs", "max_tokens", "max_completion_tokens"}
    | {"temperature", "top_p", "top_k", "repetition_penalty", "stop", "seed"}
)
"""Body fields that a request itself decides; `extra_body` may not name them."""

_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}


class UnsupportedError(Exception):
    """The request holds what this API cannot carry."""


class BadResponseError(Exception):
    """The body is not what the specification promises."""


class UnanswerableError(Exception):
    """The server answered, but asking again would give no answer either. `kind` is for the record."""

    kind: ClassVar[str]


class FilteredError(UnanswerableError):
    """The server withheld the answer."""

    kind = "ContentFilter"


class Answer(NamedTuple):
    """What a body says. `text` ends before the first stop string."""

    text: str
    finish_reason: str | None
    reasoning: str | None
    tokens_in: int | None
    tokens_out: int | None


def encode_chat(model: str, request: Request, extra: Mapping[str, Any], media: MediaText) -> bytes:
    """The body of a `chat/completions` call.

    Raises:
        MediaError: a medium cannot be read.
        UnsupportedError: audio that is neither WAV nor MP3.
    """
    messages = [_message(message, media) for message in request.messages]
    return _body({"model": model, "messages": messages} | _sampling(request.generation, request.seed), extra)


def encode_completion(model: str, request: Request, extra: Mapping[str, Any]) -> bytes:
    """The body of a `completions` call.

    Raises:
        UnsupportedError: the request has no raw prompt (it holds media).
    """
    if request.prompt is None:
        raise UnsupportedError("the request holds media, which the completions API cannot carry; use api: chat")
    return _body({"model": model, "prompt": request.prompt} | _sampling(request.generation, request.seed), extra)


def decode_generation(body: bytes, api: Api, stop: tuple[str, ...]) -> Answer:
    """The answer in a body.

    Raises:
        BadResponseError: no JSON, no choice, or a field of the wrong type.
        FilteredError: there is no text because a content filter took it.
    """
    document, choice = first_choice(body)
    finish_reason = _optional(choice, "finish_reason", str)
    reasoning: str | None = None
    if api == "chat":
        message = choice.get("message")
        if not isinstance(message, dict):
            raise BadResponseError("choices[0].message is missing")
        reasoning = _optional(message, "reasoning_content", str) or _optional(message, "reasoning", str)
        text = _optional(message, "content", str)
        if text is None:
            text = _optional(message, "refusal", str)
        if text is None and reasoning:
            text = ""  # all tokens went into the reasoning: the answer is empty, and that is what the model gave
        name = "choices[0].message.content"
    else:
        text, name = _optional(choice, "text", str), "choices[0].text"
    if text is None and finish_reason == "content_filter":
        raise FilteredError("the server withheld the answer (finish_reason content_filter)")
    if text is None:
        raise BadResponseError(f"{name} is missing")
    text, stopped = cut(text, stop)
    usage = tokens(document)
    return Answer(text, "stop" if stopped else finish_reason, reasoning, *usage)


def first_choice(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and its first choice.

    Raises:
        BadResponseError: there is none.
    """
    try:
        document = _parsed(body)
    except (ValueError, RecursionError) as error:
        raise BadResponseError("the body is no JSON") from error
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadResponseError("the body has no choices")
    return document, choices[0]


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return json.loads(body)  # takes what the strict one does not, such as half of a surrogate pair


def tokens(document: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and answer, where the server counts them."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")


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


def _sampling(generation: Generation, seed: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "max_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "seed": seed,
        "top_p": generation.top_p,
        "stop": list(generation.stop) or None,
        "top_k": generation.top_k,
        "repetition_penalty": generation.repetition_penalty,
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


def _optional(document: Mapping[str, Any], name: str, kind: type[str]) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadResponseError(f"{name} is of the wrong type")
    return value


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
