"""Turns requests into what an engine with a scheduler of its own reads: token ids, and beside them decoded media.

The template and the tokens are those that the transformers backend would use, so that a model is asked the same question
whichever engine runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay_runner.backends.base import Message, Request, Text
from assay_runner.backends.prompts import PromptError, apply_template, score_tokens
from assay_runner.backends.source import Source
from assay_runner.media import Media

_UNLIMITED = 10**9
"""Tokenizers without a limit state an enormous one."""
_RATE = 16_000
_PROBE = "is it there?"

Placeholder = Callable[[str, int], str | None]
"""The text that stands for the n-th medium of a kind (from 1) in templates that take texts alone."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine is asked. For a log-likelihood the last `scored` tokens are the continuation; else it is 0."""

    text: str
    ids: tuple[int, ...]
    media: tuple[Media, ...] = ()
    scored: int = 0


class Renderer:
    """Renders and tokenises; used by one thread at a time."""

    def __init__(self, tokenizer: Any, processor: Any | None, limit: int | None, placeholder: Placeholder) -> None:
        """`processor` is None for text models; `limit` is of prompt and answer together, in tokens."""
        self._tokenizer, self._processor, self._limit, self._placeholder = tokenizer, processor, limit, placeholder
        self._kinds = _kinds(processor)
        owners = [owner for owner in (processor, tokenizer) if getattr(owner, "chat_template", None)]
        self._template = owners[0] if owners else None
        self._in_parts = processor is not None and self._template is not None and _takes_parts(self._template)

    @property
    def rate(self) -> int:
        """Samples of sound per second that the model wants."""
        return int(getattr(getattr(self._processor, "feature_extractor", None), "sampling_rate", None) or _RATE)

    def render(self, request: Request) -> Prompt:
        """The prompt of a request.

        Raises:
            PromptError: the model takes no such media, its template refuses the conversation, or it is too long.
        """
        if request.kind == "loglikelihood":
            context, continuation = score_tokens(self._tokenizer, request)
            # An engine generates a token after what it scores.
            self.check_length(len(context) + len(continuation), 1)
            return Prompt("", (*context, *continuation), scored=len(continuation))
        media = tuple(part for message in request.messages for part in message.parts if isinstance(part, Media))
        if unknown := {medium.kind for medium in media} - self._kinds:
            raise PromptError("Unsupported", f"the model does not take {', '.join(sorted(unknown))}")
        text, special = self._text(request)
        ids = tuple(self._tokenizer.encode(text, add_special_tokens=special))
        if not ids:
            raise PromptError("Unsupported", "the prompt is empty")
        # Media make it longer still: by how much, the engine knows.
        self.check_length(len(ids), request.generation.max_new_tokens)
        return Prompt(text, ids, media)

    def check_length(self, tokens: int, longest: int) -> None:
        """Whether a prompt of so many tokens leaves room for an answer of up to `longest`.

        Raises:
            PromptError: it does not.
        """
        if self._limit is not None and tokens + longest > self._limit:
            raise PromptError(
                "ContextTooLong",
                f"the prompt has {tokens} tokens and {longest} may be generated, the model takes {self._limit} together",
            )

    def _text(self, request: Request) -> tuple[str, bool]:
        """The text, and whether the tokenizer is to add the special tokens it puts around one."""
        if self._template is None or not request.messages:
            if request.prompt is None:
                raise PromptError(
                    "Unsupported", "the model has no chat template, which a conversation with media needs"
                )
            return request.prompt, True
        messages = request.messages if self._in_parts else self._joined(request.messages)
        text = apply_template(self._template, messages, in_parts=self._in_parts)
        bos = self._tokenizer.bos_token
        return text, not (bos and text.startswith(bos))

    def _joined(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The same with the texts that stand for media in their places."""
        counts: dict[str, int] = {}

        def text(part: Text | Media) -> Text:
            if isinstance(part, Text):
                return part
            counts[part.kind] = counts.get(part.kind, 0) + 1
            return Text(self._placeholder(part.kind, counts[part.kind]) or "")

        return tuple(Message(message.role, tuple(map(text, message.parts))) for message in messages)


def load_renderer(source: Source, *, trusted: bool, limit: int | None, placeholder: Placeholder) -> Renderer:
    """The renderer of a model; without `limit`, that of its configuration and tokenizer.

    Raises:
        OSError, ValueError: the model's tokenizer cannot be loaded.
    """
    from transformers import AutoConfig, AutoProcessor, AutoTokenizer, ProcessorMixin

    common: dict[str, Any] = {"revision": source.commit, "trust_remote_code": trusted}
    tokenizer = AutoTokenizer.from_pretrained(source.name, **common)
    config = AutoConfig.from_pretrained(source.name, **common)
    found = AutoProcessor.from_pretrained(source.name, **common) if takes_media(config) else None
    if limit is None:
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        stated = [number for number in (positions, tokenizer.model_max_length) if number and number < _UNLIMITED]
        limit = min(stated) if stated else None
    return Renderer(tokenizer, found if isinstance(found, ProcessorMixin) else None, limit, placeholder)


def takes_media(config: Any) -> bool:
    """Whether a model with this configuration (of transformers) is more than a text model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    parts = ("vision_config", "audio_config", "visual", "mm_vision_tower")
    return type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or any(getattr(config, part, None) for part in parts)


def _kinds(processor: Any | None) -> set[str]:
    """Kinds of media that a processor has a part for; all of them, where it is of no known make."""
    if processor is None:
        return set()
    parts = {"image_processor": "image", "video_processor": "video", "feature_extractor": "audio"}
    return {kind for part, kind in parts.items() if getattr(processor, part, None)} or set(parts.values())


def _takes_parts(template: Any) -> bool:
    """Whether the template writes the text of a content that is a list of parts, and nothing else of the list."""
    try:
        written = apply_template(template, (Message("user", (Text(_PROBE),)),), in_parts=True)
    except PromptError:
        return False
    return _PROBE in written and "'type'" not in written
