"""Turns a request and its decoded media into what a processor is given: the rendered text, and media by kind in the order
of the text's places for them.

Runs ahead of the model, in a thread of its own. What is wrong with one request is its own error and leaves the others
as they would have been."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay_runner.backends.base import Message, Part, Request
from assay_runner.backends.prompts import PromptError, apply_template
from assay_runner.backends.transformers_ctc import check
from assay_runner.backends.transformers_model import Loaded
from assay_runner.decode.request import Opened
from assay_runner.decode.video import Frames
from assay_runner.media import Media


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the tokenizer or processor is given."""

    text: str
    special: bool
    """Whether the tokenizer is to add the special tokens it puts around a text."""
    images: tuple[Any, ...] = ()
    """Pictures of PIL."""
    videos: tuple[Frames, ...] = ()
    sounds: tuple[Any, ...] = ()
    """Arrays of samples in one channel."""
    frames: tuple[tuple[int, ...], ...] = field(default=(), compare=False)
    """Of each video, the places of its frames that are shown."""
    decoding: float | None = field(default=None, compare=False)
    """Seconds that its media took."""

    @property
    def shape(self) -> tuple[bool, bool, bool]:
        """Which media it holds; those of one shape can share a batch."""
        return bool(self.images), bool(self.videos), bool(self.sounds)


def media_of(request: Request) -> tuple[Media, ...]:
    """The media of a conversation in their order."""
    return tuple(part for message in request.messages for part in message.parts if isinstance(part, Media))


def render(loaded: Loaded, request: Request, opened: Opened | None) -> Prompt:
    """The prompt of a request: through the model's chat template, or the raw text where it has none.

    Args:
        opened: its media, decoded; None when it has none.

    Raises:
        PromptError: the model takes no such media or no such settings, or its template refuses the conversation.
    """
    media = media_of(request)
    strange = {medium.kind for medium in media} - loaded.kind.media
    if strange:
        raise PromptError("Unsupported", f"the model does not take {', '.join(sorted(strange))}")
    if loaded.kind.speech:
        return _spoken(loaded, request, media, opened)
    renderer = loaded.processor if loaded.processor is not None else loaded.tokenizer
    if not getattr(renderer, "chat_template", None):
        renderer = loaded.tokenizer
    if not getattr(renderer, "chat_template", None) or not request.messages:
        if request.prompt is None:
            raise PromptError("Unsupported", "the model has no chat template, which a conversation with media needs")
        return Prompt(request.prompt, special=True)
    decoded = opened.media if opened else ()
    as_images = loaded.kind.frames_as_images
    messages = tuple(_with_frames(request.messages, iter(decoded))) if as_images else request.messages
    text = apply_template(renderer, messages, in_parts=loaded.processor is not None)
    bos = loaded.tokenizer.bos_token
    videos = tuple(one for one in decoded if isinstance(one, Frames))
    return Prompt(
        text,
        special=not (bos and text.startswith(bos)),
        images=tuple(_pictures(media, decoded, as_images=as_images)),
        videos=() if as_images else videos,
        sounds=tuple(one for medium, one in zip(media, decoded, strict=True) if medium.kind == "audio"),
        frames=tuple(video.places for video in videos),
        decoding=opened.seconds if opened else None,
    )


def _spoken(loaded: Loaded, request: Request, media: tuple[Media, ...], opened: Opened | None) -> Prompt:
    if len(media) != 1 or opened is None:
        raise PromptError("Unsupported", f"a speech model takes one sound, not {len(media)}")
    if loaded.kind.ctc and isinstance(opened.media[0], np.ndarray):
        check(loaded, request.generation, len(opened.media[0]))
    return Prompt("", special=False, sounds=opened.media, decoding=opened.seconds)


def _with_frames(messages: tuple[Message, ...], decoded: Iterator[Any]) -> Iterator[Message]:
    """The conversation with a picture in the place of each frame of its videos."""
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            shown = next(decoded) if isinstance(part, Media) else None
            if isinstance(part, Media) and isinstance(shown, Frames):
                parts += [replace(part, kind="image")] * len(shown.pictures)
            else:
                parts.append(part)
        yield replace(message, parts=tuple(parts))


def _pictures(media: tuple[Media, ...], decoded: tuple[Any, ...], *, as_images: bool) -> Iterator[Any]:
    from PIL import Image

    for medium, one in zip(media, decoded, strict=True):
        if medium.kind == "image":
            yield one
        elif as_images and isinstance(one, Frames):
            yield from map(Image.fromarray, one.pictures)
