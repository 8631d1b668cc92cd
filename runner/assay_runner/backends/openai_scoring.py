"""Reads the log-likelihood of a continuation off an echoed completion.

The server tokenises, so where the continuation begins is found in the tokens' text, not counted: the tokens that
spell the continuation from the end of the prompt backwards. Where a token spans prompt and continuation there is no
such place and the request is an error, because a number for something else would be worse than none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

from assay_runner.backends.openai_answers import first_choice, tokens
from assay_runner.backends.openai_replies import BadResponseError, UnanswerableError


class NoTokenBoundaryError(UnanswerableError):
    """Prompt and continuation share a token, or the tokens do not spell the text that was sent."""

    kind = "TokenBoundary"


@dataclass(frozen=True, slots=True)
class Score:
    """Sum of natural log-probabilities over the continuation's `tokens`; `greedy` whether each was the likeliest."""

    logprob: float
    greedy: bool | None
    tokens: int
    tokens_in: int | None
    tokens_out: int | None


def decode_scoring(body: bytes, prompt: str, continuation: str) -> Score:
    """The score in the body of an echoed completion. Spaces at the end of `prompt` belong to the continuation, as in
    lm-evaluation-harness.

    Raises:
        BadResponseError: the server did not echo the prompt with its log-probabilities.
        NoTokenBoundaryError: the continuation does not begin where a token begins.
    """
    document, choice = first_choice(body)
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        raise BadResponseError(
            "choices[0].logprobs is missing: the server does not echo log-probabilities of the prompt"
        )
    pieces, logprobs = found.get("tokens"), found.get("token_logprobs")
    if not _are_texts(pieces) or not isinstance(logprobs, list) or len(logprobs) != len(pieces):
        raise BadResponseError("choices[0].logprobs holds no tokens with log-probabilities")
    context = prompt.rstrip()
    continuation = prompt[len(context) :] + continuation
    counted_in, counted_out = tokens(document)
    end = _prompt_end(pieces, found.get("text_offset"), len(context) + len(continuation), counted_in)
    start = find_boundary(pieces[:end], found.get("text_offset"), context, continuation)
    values = logprobs[start:end]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise BadResponseError("a token of the continuation has no log-probability")
    greedy = _greedy(found.get("top_logprobs"), start, end, values)
    return Score(float(sum(values)), greedy, len(values), counted_in, counted_out)


def find_boundary(pieces: Sequence[str], offsets: Any, context: str, continuation: str) -> int:
    """Index of the first token of `continuation` among the tokens of context and continuation.

    Raises:
        BadResponseError: the tokens are not those of the prompt; some servers answer with the generated one alone.
        NoTokenBoundaryError: a token spans both.
    """
    text, start = "", len(pieces)
    while start and len(text) < len(continuation):
        start -= 1
        text = pieces[start] + text
    if text == continuation:
        # The first bytes of a character that spans tokens are reported as tokens without text.
        while start and not pieces[start - 1]:
            start -= 1
        return _inside(start, pieces)
    if _are_numbers(offsets) and len(context) in offsets[: len(pieces)]:
        start = offsets.index(len(context))
        if "".join(pieces[:start]).endswith(context):
            return _inside(start, pieces)
    if len(pieces) < 2:
        raise BadResponseError("the server does not echo the prompt's tokens")
    raise NoTokenBoundaryError(
        f"the continuation {continuation[:40]!r} does not begin where a token of the server begins"
    )


def _inside(start: int, pieces: Sequence[str]) -> int:
    if start == 0 or start == len(pieces):
        raise BadResponseError("the server does not echo the prompt's tokens")
    return start


def _prompt_end(pieces: Sequence[str], offsets: Any, characters: int, counted: int | None) -> int:
    """Tokens of the prompt; what follows was generated."""
    if counted is not None and len(pieces) - 1 <= counted <= len(pieces):
        return counted
    if _are_numbers(offsets) and len(offsets) == len(pieces) and all(a <= b for a, b in pairwise(offsets)):
        return sum(offset < characters for offset in offsets)
    raise BadResponseError("the server does not say which tokens are the prompt's")


def _greedy(top: Any, start: int, end: int, values: Sequence[float]) -> bool | None:
    if not isinstance(top, list) or len(top) < end:
        return None
    for likeliest, value in zip(top[start:end], values, strict=True):
        if not isinstance(likeliest, Mapping) or not likeliest:
            return None
        if any(isinstance(other, int | float) and other > value for other in likeliest.values()):
            return False
    return True


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(item, int) for item in value)
