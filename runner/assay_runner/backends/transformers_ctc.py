"""Transcripts by models with a CTC head: one pass over the sound gives a token or none per frame, and the tokenizer makes a
text of the likeliest ones. There is nothing to sample and nothing to prompt, and what the sound does not hold cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from assay_runner.backends.base import Generation, Response
from assay_runner.backends.prompts import PromptError
from assay_runner.backends.stopping import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assay_runner.backends.transformers_batches import Generate
    from assay_runner.backends.transformers_model import Loaded

LONGEST = 600
"""Seconds of sound at most: it is heard whole, and attention grows with the square of its length."""
LONG = 30
"""Seconds beyond which a sound runs alone."""
TRAINED_WITH = "masked_spec_embed"
"""A parameter that only training reads; many checkpoints were published without it."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What stands for the processor: without the language model that some checkpoints bring for a search."""

    feature_extractor: Any
    tokenizer: Any


def hearing(name: str, common: dict[str, Any]) -> Hearing:
    """The two parts, from where the model is.

    Raises:
        OSError, ValueError, ImportError: a part is missing or needs something that is.
    """
    from transformers import AutoFeatureExtractor, AutoTokenizer

    return Hearing(AutoFeatureExtractor.from_pretrained(name, **common), AutoTokenizer.from_pretrained(name, **common))


def check(loaded: Loaded, generation: Generation, samples: int) -> None:
    """Refuse what such a model cannot do.

    Args:
        samples: the sound's length, at the model's rate.

    Raises:
        PromptError: sampling is asked for, or the sound is too short or too long.
    """
    if generation.temperature > 0:
        raise PromptError("Unsupported", "a CTC model does not sample; set temperature to 0")
    if generation.repetition_penalty not in (None, 1.0):
        raise PromptError("Unsupported", "a CTC model takes no repetition_penalty; remove it")
    rate, least = loaded.wanted.rate, _receptive_field(loaded.model.config)
    if samples < least:
        raise PromptError(
            "MediaError", f"the sound has {samples} samples at {rate} Hz, the model hears none below {least}"
        )
    if samples > LONGEST * rate:
        raise PromptError(
            "ContextTooLong",
            f"the sound lasts {samples / rate:.0f} s, a CTC model hears {LONGEST} s at most, in one piece; cut it up",
        )


def pads(loaded: Loaded) -> bool:
    """Whether sounds of different lengths may share a batch without a trace in their transcripts: not where the model is
    made to hear padding, and not where it normalises over the whole length."""
    norm = getattr(_encoder(loaded.model.config), "feat_extract_norm", None)
    return norm != "group" and bool(getattr(_extractor(loaded), "return_attention_mask", True))


def features(loaded: Loaded, sounds: Sequence[Any]) -> dict[str, Any]:
    """What the model is given of sounds, of one length where it does not pad."""
    masked = {"return_attention_mask": True} if pads(loaded) else {}
    settings = {"sampling_rate": loaded.wanted.rate, "padding": True, "return_tensors": "pt", **masked}
    return dict(_extractor(loaded)(list(sounds), **settings))


def hear(loaded: Loaded, group: Generate, inputs: dict[str, Any], cancelled: Callable[[], bool]) -> list[Response]:
    """The transcripts of a group, without times; they mean nothing once `cancelled` is true."""
    import torch

    if cancelled():
        return [Response(key=request.key, text="", finish_reason="stop", tokens_out=0) for request in group.requests]
    with torch.inference_mode():
        rows = _likeliest(loaded, inputs).tolist()
    return [
        _response(loaded, request.key, row, group.generation) for request, row in zip(group.requests, rows, strict=True)
    ]


def _likeliest(loaded: Loaded, inputs: dict[str, Any]) -> Any:
    """The likeliest token of each frame, rows × frames; blank, which is the padding token, behind a row's end."""
    if loaded.model.can_generate():
        return loaded.model.generate(**inputs)
    tokens = loaded.model(**inputs).logits.argmax(dim=-1)
    if "attention_mask" in inputs:
        # The one place where these models tell which frames are padding.
        heard = loaded.model._get_feature_vector_attention_mask(tokens.shape[1], inputs["attention_mask"])
        tokens[~heard.bool()] = loaded.pad
    return tokens


def _response(loaded: Loaded, key: str, row: list[int], generation: Generation) -> Response:
    said, end = 0, len(row)
    place = 0
    for token, run in groupby(row):
        if token != loaded.pad:
            if said == generation.max_new_tokens:
                end = place
                break
            said += 1
        place += sum(1 for _ in run)
    # Models that generate have tokens for the beginning and the end of a text, the others have letters alone.
    text = loaded.decoder.decode(row[:end], skip_special_tokens=loaded.model.can_generate())
    text, cut_off = cut(text.strip(), generation.stop)
    whole = cut_off or end == len(row)
    return Response(key=key, text=text, finish_reason="stop" if whole else "length", tokens_out=said)


def _receptive_field(config: Any) -> int:
    """Samples that the first frame is made of; 1 where the model does not convolve samples."""
    encoder = _encoder(config)
    kernels, strides = getattr(encoder, "conv_kernel", ()), getattr(encoder, "conv_stride", ())
    samples = int(getattr(encoder, "squeeze_factor", 1))
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * int(stride) + int(kernel)
    return samples


def _encoder(config: Any) -> Any:
    """The part of a configuration that says how sound is read."""
    return getattr(config, "audio_config", None) or config


def _extractor(loaded: Loaded) -> Any:
    assert loaded.processor is not None, "speech models have a processor"
    return loaded.processor.feature_extractor
