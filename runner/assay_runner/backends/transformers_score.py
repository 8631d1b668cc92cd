"""Log-likelihoods of continuations: one pass over prompt and continuation, right-padded, in float32 from the logits
on."""

from __future__ import annotations

import math
from typing import Any

from assay_runner.backends.base import Response
from assay_runner.backends.transformers_batches import Score, ScoreShown
from assay_runner.backends.transformers_model import Loaded, on_device


def score(loaded: Loaded, group: Score) -> list[Response]:
    """Σ ln p(token | all tokens before it) over each continuation, and whether each of its tokens was the likeliest.

    The last token of a continuation is scored, never read, so it is left off the input. As in lm-evaluation-harness.
    """
    import torch

    rows = [
        (context + continuation)[:-1] for context, continuation in zip(group.contexts, group.continuations, strict=True)
    ]
    width = max(map(len, rows))
    ids = torch.tensor([row + [loaded.pad] * (width - len(row)) for row in rows], device=loaded.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=loaded.device)
    places = [
        range(len(context) - 1, len(row)) for context, row in zip(group.contexts, rows, strict=True)
    ]  # position p predicts token p + 1
    with torch.inference_mode():
        logits, column = _logits(loaded, ids, mask, sorted({place for row in places for place in row}))
        return [
            _response(
                request.key, logits[row, [column[place] for place in places[row]]], continuation, len(rows[row]) + 1
            )
            for row, (request, continuation) in enumerate(zip(group.requests, group.continuations, strict=True))
        ]


def score_shown(loaded: Loaded, group: ScoreShown) -> Response:
    """The same for one continuation after a prompt with media."""
    import torch

    inputs = {name: on_device(loaded, value) for name, value in group.inputs.items()}
    ids = inputs["input_ids"][0]
    kept = {"logits_to_keep": group.count + 1} if loaded.keeps_logits else {}
    with torch.inference_mode():
        logits = loaded.model(**inputs, use_cache=False, **kept).logits[0, -group.count - 1 : -1]
        return _response(group.requests[0].key, logits, ids[-group.count :].tolist(), len(ids))


def _logits(loaded: Loaded, ids: Any, mask: Any, wanted: list[int]) -> tuple[Any, dict[int, int]]:
    """Logits and which of their columns holds each wanted position. Only wanted positions are computed where the model
    can: a vocabulary for every token of a prompt would not fit into memory."""
    import torch

    if loaded.keeps_logits:
        kept = torch.tensor(wanted, device=loaded.device)
        output = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept)
        return output.logits, {place: column for column, place in enumerate(wanted)}
    output = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return output.logits, {place: place for place in wanted}


def _response(key: str, logits: Any, continuation: list[int], tokens_in: int) -> Response:
    import torch

    target = torch.tensor(continuation, device=logits.device)
    likely = torch.log_softmax(logits.float(), dim=-1)
    values = likely.gather(1, target.unsqueeze(1)).squeeze(1).tolist()
    greedy = bool((likely.argmax(dim=-1) == target).all())
    return Response(
        key=key, logprob=math.fsum(values), greedy=greedy, tokens=len(values), tokens_in=tokens_in, tokens_out=0
    )
