"""Forms what is run together: requests of one batch with equal settings, padded, in planned order.

How requests are grouped depends on the batch alone, so the same plan gives the same groups on every worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay_runner.backends.base import Batch, Generation, Request, Response, ResponseError
from assay_runner.backends.prompts import PromptError, score_tokens
from assay_runner.backends.transformers_ctc import LONG, pads
from assay_runner.backends.transformers_inputs import PROCESSOR_ERRORS, tensors, window
from assay_runner.backends.transformers_model import Loaded
from assay_runner.backends.transformers_prompts import Prompt, render
from assay_runner.decode.request import Opened
from assay_runner.media import MediaError


@dataclass(frozen=True, slots=True)
class Generate:
    """Requests that are generated together; `lengths` count the prompts' tokens, None where a prompt has none."""

    requests: tuple[Request, ...]
    prompts: tuple[Prompt, ...]
    generation: Generation
    inputs: dict[str, Any]
    lengths: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Continuations that are scored together."""

    requests: tuple[Request, ...]
    contexts: tuple[list[int], ...]
    continuations: tuple[list[int], ...]


@dataclass(frozen=True, slots=True)
class ScoreShown:
    """One continuation of a prompt with media: the last `count` tokens of `inputs`."""

    requests: tuple[Request]
    prompt: Prompt
    inputs: dict[str, Any]
    count: int


Group = Generate | Score | ScoreShown


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, ready to run, and the requests of it that have failed already."""

    groups: tuple[Group, ...]
    failed: tuple[Response, ...]
    seconds: float = 0.0
    """Each request's share of what it took."""


def prepare(loaded: Loaded, batch: Batch, opened: Mapping[str, Opened | MediaError]) -> Prepared:
    """Render and tokenise a batch. What is sampled runs alone, so that it depends on its seed and on nothing beside it.

    Args:
        opened: request → its media, decoded, or why they are not.
    """
    failed: list[Response] = []
    grouped: dict[tuple[Any, ...], list[tuple[Request, Prompt]]] = {}
    scored: list[tuple[Request, list[int], list[int]]] = []
    groups: list[Group] = []
    for request in batch:
        media = opened.get(request.key)
        try:
            if isinstance(media, MediaError):
                raise PromptError("MediaError", str(media))
            if request.kind == "loglikelihood" and media is not None:
                groups.append(_shown(loaded, request, media))
            elif request.kind == "loglikelihood":
                scored.append((request, *_checked_tokens(loaded, request)))
            else:
                prompt = render(loaded, request, media)
                alone = request.key if request.generation.temperature > 0 or _is_long(loaded, prompt) else None
                length = len(prompt.sounds[0]) if loaded.kind.ctc and not pads(loaded) else None
                alike = (request.generation, prompt.shape, prompt.special, alone, length)
                grouped.setdefault(alike, []).append((request, prompt))
        except PromptError as error:
            failed.append(_failed(request, error.kind, str(error)))
    for members in grouped.values():
        group, errors = _generate_group(loaded, members)
        groups += [group] if group else []
        failed += errors
    if scored:
        requests, contexts, continuations = zip(*scored, strict=True)
        groups.append(Score(requests, contexts, continuations))
    return Prepared(tuple(groups), tuple(failed))


def part_of(loaded: Loaded, group: Group, first: int, last: int) -> Group:
    """The requests from `first` to before `last` as a group of their own, padded to the longest among them."""
    some = slice(first, last)
    assert not isinstance(group, ScoreShown), "it is one request"
    if isinstance(group, Score):
        return Score(group.requests[some], group.contexts[some], group.continuations[some])
    prompts = group.prompts[some]
    return Generate(group.requests[some], prompts, group.generation, tensors(loaded, prompts), group.lengths[some])


def _is_long(loaded: Loaded, prompt: Prompt) -> bool:
    """Whether a speech model hears it piece by piece, so that it cannot share a batch, or others would be padded to it."""
    if loaded.kind.ctc:
        return len(prompt.sounds[0]) > LONG * loaded.wanted.rate
    heard = window(loaded) if loaded.kind.speech else None
    return heard is not None and len(prompt.sounds[0]) > heard


def _shown(loaded: Loaded, request: Request, media: Opened) -> ScoreShown:
    """A continuation to be scored after the conversation as the chat template writes it, split like text: spaces at the end
    of the conversation go to the continuation, and its tokens are those that follow as many as the conversation has. It
    runs alone: beside others its positions would be shifted by padding."""
    prompt = render(loaded, request, media)
    context = prompt.text.rstrip()
    whole = prompt.text + (request.continuation or "")
    try:
        before = tensors(loaded, [replace(prompt, text=context)])["input_ids"].shape[1]
        inputs = tensors(loaded, [replace(prompt, text=whole)])
    except PROCESSOR_ERRORS as error:
        raise PromptError("MediaError", f"the model's processor refuses it ({error})") from error
    total = inputs["input_ids"].shape[1]
    if total <= before:
        raise PromptError("TokenBoundary", "the continuation has no token of its own after this context")
    if loaded.limit is not None and total - 1 > loaded.limit:
        raise PromptError(
            "ContextTooLong", f"prompt and continuation have {total} tokens, the model takes {loaded.limit}"
        )
    return ScoreShown((request,), prompt, inputs, total - before)


def _checked_tokens(loaded: Loaded, request: Request) -> tuple[list[int], list[int]]:
    context, continuation = score_tokens(loaded.tokenizer, request)
    total = len(context) + len(continuation)
    if loaded.limit is not None and total - 1 > loaded.limit:
        raise PromptError(
            "ContextTooLong", f"prompt and continuation have {total} tokens, the model takes {loaded.limit}"
        )
    return context, continuation


def _generate_group(
    loaded: Loaded, members: Sequence[tuple[Request, Prompt]]
) -> tuple[Generate | None, list[Response]]:
    """One group of requests, less those that cannot be put to the model."""
    failed: list[Response] = []
    kept = list(members)
    try:
        inputs = tensors(loaded, [prompt for _, prompt in kept])
    except PROCESSOR_ERRORS:
        kept, failed = _sift(loaded, members)
        if not kept:
            return None, failed
        inputs = tensors(loaded, [prompt for _, prompt in kept])
    lengths = _lengths(loaded, inputs, len(kept))
    complaints = [_complaint(loaded, request, length) for (request, _), length in zip(kept, lengths, strict=True)]
    if any(complaints):
        for (request, _), complaint in zip(kept, complaints, strict=True):
            if complaint:
                failed.append(Response(key=request.key, error=complaint, attempts=0))
        kept = [member for member, complaint in zip(kept, complaints, strict=True) if not complaint]
        if not kept:
            return None, failed
        lengths = [length for length, complaint in zip(lengths, complaints, strict=True) if not complaint]
        inputs = tensors(loaded, [prompt for _, prompt in kept])
    requests, prompts = zip(*kept, strict=True)
    return Generate(requests, prompts, requests[0].generation, inputs, tuple(lengths)), failed


def _lengths(loaded: Loaded, inputs: Mapping[str, Any], count: int) -> list[int | None]:
    return [None] * count if loaded.kind.speech else list(inputs["attention_mask"].sum(dim=1).tolist())


def _sift(
    loaded: Loaded, members: Sequence[tuple[Request, Prompt]]
) -> tuple[list[tuple[Request, Prompt]], list[Response]]:
    """Which requests the processor takes when it is given them one by one, and errors for the others."""
    kept, failed = [], []
    for request, prompt in members:
        try:
            tensors(loaded, [prompt])
        except PROCESSOR_ERRORS as error:
            kind = "MediaError" if any(prompt.shape) else "Unsupported"
            failed.append(_failed(request, kind, f"the model's processor refuses it ({error})"))
        else:
            kept.append((request, prompt))
    return kept, failed


def _complaint(loaded: Loaded, request: Request, length: int | None) -> ResponseError | None:
    if length is None:
        return None
    if length == 0:
        return ResponseError("Unsupported", "the prompt is empty")
    longest = request.generation.max_new_tokens
    if loaded.limit is None:
        return None
    if loaded.kind.encodes:
        if max(length, longest) <= loaded.limit:
            return None
        told = f"the prompt has {length} tokens and {longest} may be generated, the model takes {loaded.limit} of each"
        return ResponseError("ContextTooLong", told)
    if length + longest > loaded.limit:
        return ResponseError(
            "ContextTooLong",
            f"the prompt has {length} tokens and {longest} may be generated, the model takes {loaded.limit} together",
        )
    return None


def _failed(request: Request, kind: str, message: str) -> Response:
    return Response(key=request.key, error=ResponseError(kind, message), attempts=0)
