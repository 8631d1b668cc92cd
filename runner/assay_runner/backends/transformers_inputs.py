"""Prompts as the tensors of one batch, by the model's tokenizer or processor. Frames and sounds go in as they were decoded:
no processor samples frames of its own or guesses at a rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assay_runner.backends.transformers_ctc import features
from assay_runner.backends.transformers_model import Loaded
from assay_runner.backends.transformers_prompts import Prompt
from assay_runner.decode.video import Frames

_UNKNOWN_FPS = 24.0
"""Frames per second of a video that shows one frame: transformers' own assumption."""

PROCESSOR_ERRORS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, RuntimeError)
"""What processors raise for media they cannot handle."""


def tensors(loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The inputs of prompts of one shape. Texts are padded on the side that the tokenizer is set to.

    Raises:
        one of PROCESSOR_ERRORS: the processor refuses a prompt.
    """
    if loaded.kind.speech:
        return _of_speech(loaded, prompts)
    texts = [prompt.text for prompt in prompts]
    settings: dict[str, Any] = {"padding": True, "return_tensors": "pt", "add_special_tokens": prompts[0].special}
    if loaded.processor is None:
        return dict(loaded.tokenizer(texts, **settings))
    if prompts[0].images:
        settings["images"] = [list(prompt.images) for prompt in prompts]
    videos = [video for prompt in prompts for video in prompt.videos]
    if videos:
        settings["videos"] = [np.stack(video.pictures) for video in videos]
        settings["videos_kwargs"] = {"video_metadata": [_told(video) for video in videos], "do_sample_frames": False}
    sounds = [sound for prompt in prompts for sound in prompt.sounds]
    if sounds:
        settings["audio"] = sounds
        settings["audio_kwargs"] = {"sampling_rate": loaded.wanted.rate}
    return dict(loaded.processor(text=texts, **settings))


def window(loaded: Loaded) -> int | None:
    """Samples of sound that a speech model hears at a time; None where it hears any number."""
    extractor = getattr(loaded.processor, "feature_extractor", None)
    return getattr(extractor, "n_samples", None)


def _of_speech(loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Any]:
    sounds = [prompt.sounds[0] for prompt in prompts]
    if loaded.kind.ctc:
        return features(loaded, sounds)
    heard = window(loaded)
    settings: dict[str, Any] = {
        "sampling_rate": loaded.wanted.rate,
        "return_tensors": "pt",
        "return_attention_mask": True,
    }
    if heard is None or any(len(sound) > heard for sound in sounds):
        # Else what lies behind the window would be cut off.
        settings |= {"padding": True, "truncation": False}
    assert loaded.processor is not None, "speech models have a processor"
    return dict(loaded.processor.feature_extractor(sounds, **settings))


def _told(video: Frames) -> dict[str, Any]:
    """What a video processor is told of the whole video that frames were taken from."""
    count = video.places[-1] + 1
    seconds = video.seconds[-1]
    fps = video.places[-1] / seconds if seconds > 0 else _UNKNOWN_FPS
    height, width = video.pictures[0].shape[:2]
    return {
        "total_num_frames": count,
        "fps": fps,
        "width": width,
        "height": height,
        "duration": count / fps,
        "frames_indices": list(video.places),
        "video_backend": "pyav",
    }
