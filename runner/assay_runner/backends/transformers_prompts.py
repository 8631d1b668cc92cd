"""Turns a request into what a model reads: rendered text, decoded images, token ids.

Runs ahead of the model, in a thread of its own. What is wrong with one request is its own error and leaves the others
as they would have been."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from assay_runner.backends.base import Message, Request, Text
from assay_runner.backends.transformers_model import Loaded
from assay_runner.media import Media, MediaError


class PromptError(Exception):
    """The request cannot be put to this model. `kind` is for its record."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


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
    text = _apply_template(renderer, request.messages, in_parts=loaded.processor is not None)
    bos = loaded.tokenizer.bos_token
    return Prompt(text, tuple(decode_image(medium) for medium in media), special=not (bos and text.startswith(bos)))


def score_tokens(loaded: Loaded, request: Request) -> tuple[list[int], list[int]]:
    """Token ids of context and continuation, split as lm-evaluation-harness does: spaces at the end of the context go
    to the continuation, both are tokenised together, and the continuation is what follows as many tokens as the
    context alone has. After an empty context stands the beginning-of-text token, or the end-of-text token where there
    is none.

    Raises:
        PromptError: the request holds media, is empty, or its continuation vanishes in the tokens of its context.
    """
    if request.prompt is None or not request.continuation:
        raise PromptError("Unsupported", "a log-likelihood needs a prompt without media and a continuation")
    context = request.prompt.rstrip()
    continuation = request.prompt[len(context) :] + request.continuation
    tokenizer = loaded.tokenizer
    if not context:
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        ids = tokenizer.encode(continuation, add_special_tokens=False)
        if prefix is None:
            raise PromptError("Unsupported", "an empty context needs a beginning- or end-of-text token; there is none")
        ids = ids if ids[:1] == [prefix] else [prefix, *ids]
        split = 1
    else:
        ids, split = tokenizer.encode(context + continuation), len(tokenizer.encode(context))
    if len(ids) <= split:
        raise PromptError("TokenBoundary", "the continuation has no token of its own after this context")
    return ids[:split], ids[split:]


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


def _apply_template(renderer: Any, messages: tuple[Message, ...], *, in_parts: bool) -> str:
    from jinja2 import TemplateError

    conversation = [
        {"role": message.role, "content": _parts(message) if in_parts else _joined(message)} for message in messages
    ]
    # A conversation that ends with the assistant's words is continued, not answered.
    continued = messages[-1].role == "assistant"
    try:
        return str(
            renderer.apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=not continued, continue_final_message=continued
            )
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise PromptError("ChatTemplate", f"the model's chat template refuses the conversation ({error})") from error


def _parts(message: Message) -> list[dict[str, str]]:
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": part.kind} for part in message.parts
    ]


def _joined(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text))
