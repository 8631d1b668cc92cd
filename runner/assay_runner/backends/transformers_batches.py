"""Forms what is run together: requests of one batch with equal settings, padded, in planned order.

How requests are grouped depends on the batch alone, so the same plan gives the same groups on every worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay_runner.backends.base import Batch, Generation, Request, Response, ResponseError
from assay_runner.backends.prompts import PromptError, score_tokens
from assay_runner.backends.transformers_model import Loaded
from assay_runner.backends.transformers_prompts import Prompt, render
from assay_runner.media import MediaError

_PROCESSOR_ERRORS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, RuntimeError)
"""What image processors raise for a picture they cannot handle."""


@dataclass(frozen=True, slots=True)
class Generate:
    """Requests that are generated together; `inputs` are padded on the left, `lengths` count the prompts' tokens."""

    requests: tuple[Request, ...]
    generation: Generation
    inputs: dict[str, Any]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Continuations that are scored together."""

    requests: tuple[Request, ...]
    contexts: tuple[list[int], ...]
    continuations: tuple[list[int], ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, ready to run, and the requests of it that have failed already."""

    groups: tuple[Generate | Score, ...]
    failed: tuple[Response, ...]


def prepare(loaded: Loaded, batch: Batch) -> Prepared:
    """Render, decode and tokenise a batch. What is sampled runs alone, so that it depends on its seed and on nothing
    beside it."""
    failed: list[Response] = []
    grouped: dict[tuple[Any, ...], list[tuple[Request, Prompt]]] = {}
    scored: list[tuple[Request, list[int], list[int]]] = []
    for request in batch:
        try:
            if request.kind == "loglikelihood":
                scored.append((request, *_checked_tokens(loaded, request)))
            else:
                prompt = render(loaded, request)
                alone = request.key if request.generation.temperature > 0 else None
                grouped.setdefault((request.generation, bool(prompt.images), prompt.special, alone), []).append(
                    (request, prompt)
                )
        except MediaError as error:
            failed.append(_failed(request, "MediaError", str(error)))
        except PromptError as error:
            failed.append(_failed(request, error.kind, str(error)))
    groups: list[Generate | Score] = []
    for members in grouped.values():
        group, errors = _generate_group(loaded, members)
        groups += [group] if group else []
        failed += errors
    if scored:
        requests, contexts, continuations = zip(*scored, strict=True)
        groups.append(Score(requests, contexts, continuations))
    return Prepared(tuple(groups), tuple(failed))


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
        inputs = _tensors(loaded, [prompt for _, prompt in kept])
    except _PROCESSOR_ERRORS:
        kept, failed = _sift(loaded, members)
        if not kept:
            return None, failed
        inputs = _tensors(loaded, [prompt for _, prompt in kept])
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    complaints = [_complaint(loaded, request, length) for (request, _), length in zip(kept, lengths, strict=True)]
    if any(complaints):
        for (request, _), complaint in zip(kept, complaints, strict=True):
            if complaint:
                failed.append(Response(key=request.key, error=complaint, attempts=0))
        kept = [member for member, complaint in zip(kept, complaints, strict=True) if not complaint]
        if not kept:
            return None, failed
        lengths = [length for length, complaint in zip(lengths, complaints, strict=True) if not complaint]
        inputs = _tensors(loaded, [prompt for _, prompt in kept])
    requests = tuple(request for request, _ in kept)
    return Generate(requests, requests[0].generation, inputs, tuple(lengths)), failed


def _sift(
    loaded: Loaded, members: Sequence[tuple[Request, Prompt]]
) -> tuple[list[tuple[Request, Prompt]], list[Response]]:
    """Which requests the processor takes when it is given them one by one, and errors for the others."""
    kept, failed = [], []
    for request, prompt in members:
        try:
            _tensors(loaded, [prompt])
        except _PROCESSOR_ERRORS as error:
            kind = "MediaError" if prompt.images else "Unsupported"
            failed.append(_failed(request, kind, f"the model's processor refuses it ({error})"))
        else:
            kept.append((request, prompt))
    return kept, failed


def _tensors(loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Any]:
    texts = [prompt.text for prompt in prompts]
    settings = {"padding": True, "return_tensors": "pt", "add_special_tokens": prompts[0].special}
    if loaded.processor is None:
        found = loaded.tokenizer(texts, **settings)
    else:
        images = [list(prompt.images) for prompt in prompts] if prompts[0].images else None
        found = loaded.processor(text=texts, images=images, **settings)
    return dict(found)


def _complaint(loaded: Loaded, request: Request, length: int) -> ResponseError | None:
    if length == 0:
        return ResponseError("Unsupported", "the prompt is empty")
    longest = request.generation.max_new_tokens
    if loaded.limit is not None and length + longest > loaded.limit:
        return ResponseError(
            "ContextTooLong",
            f"the prompt has {length} tokens and {longest} may be generated, the model takes {loaded.limit} together",
        )
    return None


def _failed(request: Request, kind: str, message: str) -> Response:
    return Response(key=request.key, error=ResponseError(kind, message), attempts=0)
