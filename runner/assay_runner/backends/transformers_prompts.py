"""Turns a request into what a model reads: rendered text, decoded images, token ids.

Runs ahead of the model, in a thread of its own. What is wrong with one request is its own error and leaves the others
as they would have been."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from assay_runner.backends.base import Request
from assay_runner.backends.prompts import PromptError, apply_template
from assay_runner.backends.transformers_model import Loaded
from assay_runner.media import Media, MediaError


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the tokenizer or processor is given."""

    text: str
    images: tuple[Any, ...]
    special: bool
    """Whether the tokenizer is to add the special tokens it puts around a text."""


def render(loaded: Loaded, request: Request) -> Prompt:
    """The prompt of a `generate` request: through the model's chat template, or the raw text where it has none.

    Raises:
        PromptError: the model takes no such media, or its template refuses the conversation.
    """
    media = [part for message in request.messages for part in message.parts if isinstance(part, Media)]
    if any(medium.kind != "image" for medium in media) or (media and loaded.processor is None):
        kinds = ", ".join(sorted({medium.kind for medium in media}))
        raise PromptError("Unsupported", f"the model does not take {kinds}")
    renderer = loaded.processor if loaded.processor is not None else loaded.tokenizer
    if not getattr(renderer, "chat_template", None):
        renderer = loaded.tokenizer
    if not getattr(renderer, "chat_template", None) or not request.messages:
        if request.prompt is None:
            raise PromptError("Unsupported", "the model has no chat template, which a conversation with media needs")
        return Prompt(request.prompt, (), special=True)
    text = apply_template(renderer, request.messages, in_parts=loaded.processor is not None)
    bos = loaded.tokenizer.bos_token
    return Prompt(text, tuple(decode_image(medium) for medium in media), special=not (bos and text.startswith(bos)))


def decode_image(medium: Media) -> Any:
    """The picture (of PIL) in RGB; transparency is put on white.

    Raises:
        MediaError: it cannot be read or decoded.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(medium.read())) as opened:
            opened.load()
            if opened.has_transparency_data:
                picture = opened.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                return Image.alpha_composite(white, picture).convert("RGB")
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(f"the image {medium.sha256[:12]} cannot be decoded ({error})") from error
