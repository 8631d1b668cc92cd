"""Log-probabilities of generated tokens out of an answer: the chat form, which llama.cpp uses in completions too, and the
older completions form."""

from __future__ import annotations

import math
from typing import Any

from assay_runner.backends.base import TokenLogprobs
from assay_runner.backends.openai_replies import BadResponseError, NoLogprobsError

_DECIMALS = 4
"""That are kept: engines compute with fewer."""

_Token = tuple[str, float]


def token_logprobs(found: Any, *, needed: bool) -> TokenLogprobs | None:
    """The log-probabilities in `choices[0].logprobs`; None when there are none and none are `needed`.

    Raises:
        NoLogprobsError: there are none, though there is text.
        BadResponseError: they are of no known form.
    """
    if isinstance(found, dict) and isinstance(found.get("content"), list):
        return _chat(found["content"])
    if isinstance(found, dict) and isinstance(found.get("tokens"), list):
        return _completion(found)
    if needed:
        raise NoLogprobsError("the server gives no log-probabilities; remove args.logprobs, or use a server that does")
    return None


def _chat(content: list[Any]) -> TokenLogprobs:
    chosen, top = [], []
    for one in content:
        chosen.append(_token(one))
        others = one.get("top_logprobs") or []
        if not isinstance(others, list):
            raise _malformed()
        top.append(tuple(_token(other) for other in others))
    return _made(chosen, top)


def _completion(found: dict[str, Any]) -> TokenLogprobs:
    texts, values = found["tokens"], found.get("token_logprobs")
    likeliest = found.get("top_logprobs") or [None] * len(texts)
    if not isinstance(values, list) or not isinstance(likeliest, list):
        raise _malformed()
    if not len(texts) == len(values) == len(likeliest):
        raise _malformed()
    chosen = [_pair(text, value) for text, value in zip(texts, values, strict=True)]
    top = []
    for others in likeliest:
        if others is not None and not isinstance(others, dict):
            raise _malformed()
        top.append(tuple(_pair(text, value) for text, value in (others or {}).items()))
    return _made(chosen, top)


def _made(chosen: list[_Token], top: list[tuple[_Token, ...]]) -> TokenLogprobs:
    return TokenLogprobs(
        tuple(text for text, _ in chosen), tuple(value for _, value in chosen), tuple(top) if any(top) else ()
    )


def _token(one: Any) -> _Token:
    if not isinstance(one, dict):
        raise _malformed()
    return _pair(one.get("token"), one.get("logprob"))


def _pair(text: Any, value: Any) -> _Token:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(text, str) or not number or not math.isfinite(value):
        raise _malformed()
    return text, round(float(value), _DECIMALS) + 0.0  # never −0


def _malformed() -> BadResponseError:
    return BadResponseError("choices[0].logprobs is of no known form")
