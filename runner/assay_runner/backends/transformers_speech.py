"""Transcripts of one group of sounds by an encoder-decoder for speech. What is longer than such a model hears at a time it
goes through piece by piece, by its own timestamps; what it is to do is said by its language and its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay_runner.backends.base import Response
from assay_runner.backends.stopping import cut
from assay_runner.backends.transformers_batches import Generate
from assay_runner.backends.transformers_inputs import window
from assay_runner.backends.transformers_model import Loaded

_BEGINNING = 8
"""Tokens of a decoder that language, task and the like may take."""


def transcribe(
    loaded: Loaded, group: Generate, inputs: dict[str, Any], cancelled: Callable[[], bool]
) -> list[Response]:
    """The transcripts of a group, without times; they mean nothing once `cancelled` is true."""
    import torch

    settings = group.generation
    longest = min(settings.max_new_tokens, _room(loaded))
    long = window(loaded) is not None and len(group.prompts[0].sounds[0]) > (window(loaded) or 0)
    extra: dict[str, Any] = {**loaded.spoken, **({"return_timestamps": True} if long else {})}
    if settings.temperature > 0:
        torch.manual_seed(group.requests[0].seed)
        extra |= {"do_sample": True, "temperature": settings.temperature, "top_k": settings.top_k or 0}
        extra |= {"top_p": settings.top_p} if settings.top_p is not None else {}
    if settings.repetition_penalty is not None:
        extra["repetition_penalty"] = settings.repetition_penalty
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs, max_new_tokens=longest, stopping_criteria=[_Cancelled(cancelled)], **extra
        )
    rows = output.tolist()
    return [
        _response(loaded, request.key, row, settings.stop, longest)
        for request, row in zip(group.requests, rows, strict=True)
    ]


class _Cancelled:
    """Ends all rows when nobody waits for them any more."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        return torch.full((len(input_ids),), self._cancelled(), dtype=torch.bool, device=input_ids.device)


def _room(loaded: Loaded) -> int:
    """Tokens that the decoder holds beside those at its beginning."""
    held = getattr(loaded.model.config, "max_target_positions", None) or loaded.limit
    return max(1, held - _BEGINNING) if held else 1 << 30


def _response(loaded: Loaded, key: str, row: list[int], stop: tuple[str, ...], longest: int) -> Response:
    special = set(loaded.decoder.all_special_ids)
    said = sum(token not in special for token in row)
    text, cut_off = cut(loaded.decoder.decode(row, skip_special_tokens=True).strip(), stop)
    ended = cut_off or row[-1] in loaded.stops or said < longest
    return Response(key=key, text=text, finish_reason="stop" if ended else "length", tokens_out=said)
