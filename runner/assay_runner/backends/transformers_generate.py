"""Generates answers for one group of requests: greedy together, sampled one at a time from the request's own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from assay_runner.backends.base import Generation, Response
from assay_runner.backends.stopping import cut
from assay_runner.backends.transformers_batches import Generate
from assay_runner.backends.transformers_ctc import hear
from assay_runner.backends.transformers_model import Loaded, on_device
from assay_runner.backends.transformers_speech import transcribe


def generate(loaded: Loaded, group: Generate, cancelled: Callable[[], bool]) -> list[Response]:
    """The answers of a group, without times; they mean nothing once `cancelled` is true."""
    import torch
    from transformers import StoppingCriteriaList

    inputs = {name: on_device(loaded, value) for name, value in group.inputs.items()}
    if loaded.kind.ctc:
        return hear(loaded, group, inputs, cancelled)
    if loaded.kind.speech:
        return transcribe(loaded, group, inputs, cancelled)
    # The decoder of an encoder-decoder begins with one token of its own, which is no part of the answer.
    width = 1 if loaded.kind.encodes else inputs["input_ids"].shape[1]
    watch = _StopWatch(loaded, group.generation.stop, width, len(group.requests), cancelled)
    if group.generation.temperature > 0:
        torch.manual_seed(group.requests[0].seed)
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs,
            generation_config=_settings(loaded, group.generation),
            stopping_criteria=StoppingCriteriaList([watch]),
        )
    rows = output[:, width:].tolist()
    return [
        _response(loaded, request.key, row, stopped, length, group.generation)
        for request, row, stopped, length in zip(group.requests, rows, watch.stopped, group.lengths, strict=True)
    ]


class _StopWatch:
    """Ends rows whose text has reached a stop string. It looks at the last tokens only: a stop string of n characters
    has at most 4 n bytes, and no token stands for less than a byte."""

    def __init__(
        self, loaded: Loaded, stop: Sequence[str], width: int, rows: int, cancelled: Callable[[], bool]
    ) -> None:
        self._decoder, self._stop, self._width, self._cancelled = (
            loaded.decoder,
            tuple(filter(None, stop)),
            width,
            cancelled,
        )
        self._tail = 4 * max(map(len, self._stop), default=0) + 8
        self._ends = loaded.stops
        self._ended = [False] * rows
        self.stopped: list[int | None] = [None] * rows
        """Per row, the tokens it had when a stop string appeared."""

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Which rows are to end now."""
        import torch

        if self._cancelled():
            return torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if self._stop:
            generated = input_ids.shape[1] - self._width
            tails = input_ids[:, self._width :][:, -self._tail :].tolist()
            for row, tail in enumerate(tails):
                self._look(row, tail, generated)
        return torch.tensor([end is not None for end in self.stopped], device=input_ids.device)

    def _look(self, row: int, tail: list[int], generated: int) -> None:
        if self._ended[row]:
            return
        self._ended[row] = tail[-1] in self._ends
        text = self._decoder.decode(tail, skip_special_tokens=True)
        if any(string in text for string in self._stop) and not self._ended[row]:
            self._ended[row], self.stopped[row] = True, generated


def _settings(loaded: Loaded, generation: Generation) -> Any:
    from transformers import GenerationConfig

    common: dict[str, Any] = {
        "max_new_tokens": generation.max_new_tokens,
        "repetition_penalty": generation.repetition_penalty,
        "eos_token_id": sorted(loaded.stops) or None,
        "pad_token_id": loaded.pad,
        "use_cache": True,
    }
    if generation.temperature == 0:
        return GenerationConfig(do_sample=False, **common)
    return GenerationConfig(
        do_sample=True,
        temperature=generation.temperature,
        top_p=1.0 if generation.top_p is None else generation.top_p,
        top_k=0 if generation.top_k is None else generation.top_k,
        **common,
    )


def _response(
    loaded: Loaded, key: str, row: list[int], stopped: int | None, length: int | None, generation: Generation
) -> Response:
    end = next((place for place, token in enumerate(row) if token in loaded.stops), None)
    if stopped is not None:
        row, counted = row[:stopped], stopped
    elif end is not None:
        row, counted = row[:end], end + 1
    else:
        counted = len(row)
    text, cut_off = cut(loaded.decoder.decode(row, skip_special_tokens=True), generation.stop)
    finished = cut_off or end is not None
    return Response(
        key=key, text=text, finish_reason="stop" if finished else "length", tokens_in=length, tokens_out=counted
    )
