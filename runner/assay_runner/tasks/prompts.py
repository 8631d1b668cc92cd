"""Turns a document into messages: the task's own messages, or visuals and text, with examples as chat turns in front.

The same conversation is also rendered as raw text, for models without a chat template and for log-likelihoods, as long
as no medium is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from assay_api.errors import SpecError
from assay_runner.backends.base import Message, Part, Text
from assay_runner.media import Media
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.hooks import Hooks
from assay_runner.tasks.templates import Text as Template

Role = Literal["system", "user", "assistant"]
_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_MEDIA = ("image", "audio", "video")


class Prompts:
    """Builds the conversations of one task."""

    def __init__(self, config: TaskConfig, hooks: Hooks) -> None:
        """
        Raises:
            SpecError: a template cannot be parsed, or declared messages have a wrong form.
        """
        self._config, self._hooks = config, hooks
        self._declared = _declared(config) if isinstance(config.doc_to_messages, list) else None
        self._description = Template(config.description, config.task, "description") if config.description else None

    def question(self, number: int, doc: Mapping[str, Any]) -> tuple[Message, ...]:
        """The turns that ask about a document, without description and examples.

        Raises:
            TaskError: a template or function failed, or returned something else than messages.
        """
        if self._declared is not None:
            return tuple(
                Message(role, tuple(part for kind, text in parts for part in self._parts(kind, text, doc)))
                for role, parts in self._declared
            )
        if self._config.doc_to_messages is not None:
            returned, handed = self._hooks.with_media("doc_to_messages", number, doc)
            return _returned(returned, handed.medium)
        media: list[Part] = []
        if self._config.doc_to_visual is not None:
            media = list(self._hooks.visuals(number, doc))
        return (Message("user", (*media, Text(self._hooks.text("doc_to_text", number, doc)))),)

    def conversation(
        self, question: Sequence[Message], doc: Mapping[str, Any], examples: Sequence[tuple[Sequence[Message], str]]
    ) -> tuple[Message, ...]:
        """Description, examples (question and target) and question, as a chat."""
        turns: list[Message] = []
        if self._description is not None:
            turns.append(Message("system", (Text(self._description.text(doc).strip()),)))
        for asked, target in examples:
            turns += [*asked, Message("assistant", (Text(target),))]
        return (*turns, *question)

    def raw(
        self, question: Sequence[Message], doc: Mapping[str, Any], examples: Sequence[tuple[Sequence[Message], str]]
    ) -> str | None:
        """The same as text: description, then every example with its target, then the question. None with media."""
        config = self._config
        texts = [_plain_text(messages) for messages in (*(asked for asked, _ in examples), question)]
        if any(text is None for text in texts):
            return None
        shots = [
            f"{text}{config.target_delimiter}{target}{config.fewshot_delimiter}"
            for text, (_, target) in zip(texts, examples, strict=False)
        ]
        description = self._description.text(doc) if self._description is not None else ""
        return description + "".join(shots) + (texts[-1] or "")

    def _parts(self, kind: str, source: Template, doc: Mapping[str, Any]) -> list[Part]:
        if kind == "text":
            return [Text(source.text(doc))]
        value = source.value(doc)
        values = value if isinstance(value, list) else [value]
        for one in values:
            if not isinstance(one, Media) or one.kind != kind:
                raise TaskError("TaskError", f"{source.source!r} of doc_to_messages is no {kind} in this document")
        return values


def plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as they are recorded: text as it is, media by reference."""
    return [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part.text} if isinstance(part, Text) else part.reference()
                for part in message.parts
            ],
        }
        for message in messages
    ]


def _plain_text(messages: Sequence[Message]) -> str | None:
    parts = [part for message in messages for part in message.parts]
    if not all(isinstance(part, Text) for part in parts):
        return None
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _declared(config: TaskConfig) -> list[tuple[Role, list[tuple[str, Template]]]]:
    found = []
    for place, message in enumerate(config.doc_to_messages or []):  # type: ignore[arg-type]
        field = f"doc_to_messages[{place}]"
        content = message.get("content")
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message.get("role") not in _ROLES or not isinstance(content, list) or set(message) != {"role", "content"}:
            raise SpecError(
                f"task {config.task}",
                field,
                "this is no message",
                "write {role: user, content: [{type: text, text: …}]}",
            )
        parts = []
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("text", *_MEDIA) or set(part) != {"type", kind}:
                raise SpecError(
                    f"task {config.task}",
                    field,
                    f"{part!r} is no part of a message",
                    "write {type: text, text: …} or {type: image, image: COLUMN}; audio and video likewise",
                )
            parts.append((str(kind), Template(str(part[kind]), config.task, field)))
        found.append((_ROLES[message["role"]], parts))
    return found


def _returned(value: Any, medium: Callable[[Any], Media]) -> tuple[Message, ...]:
    try:
        turns = tuple(Message(_ROLES[turn["role"]], tuple(_returned_parts(turn["content"], medium))) for turn in value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"doc_to_messages did not return messages ({type(error).__name__}: {error})"
        raise TaskError("TaskError", problem) from error
    if not any(turn.parts for turn in turns):
        raise TaskError("TaskError", "doc_to_messages returned nothing to ask")
    return turns


def _returned_parts(content: Any, medium: Callable[[Any], Media]) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    return [_returned_part(part, medium) for part in content]


def _returned_part(part: Mapping[str, Any], medium: Callable[[Any], Media]) -> Part:
    kind = part["type"]
    if kind == "text":
        if not isinstance(part["text"], str):
            raise ValueError(f"a text is {type(part['text']).__name__}")
        return Text(part["text"])
    if kind not in _MEDIA or set(part) - {"type", "url", kind}:
        raise ValueError(f"a part has type {kind!r} with {', '.join(sorted(map(str, part)))}")
    found = medium(part["url"] if "url" in part else part[kind])
    if found.kind != kind:
        raise ValueError(f"what was given as {kind} is {found.mime}")
    return found
