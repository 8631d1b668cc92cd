"""What engines are asked: templates that take parts or texts, kinds of media, length."""

from types import SimpleNamespace
from typing import Any

import pytest

from assay_runner.backends.base import Generation, Message, Request, Text
from assay_runner.backends.engine_prompts import Renderer
from assay_runner.backends.prompts import PromptError
from assay_runner.media import from_bytes

PICTURE, SOUND = from_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8)), from_bytes(b"fLaC" + bytes(8))


class Words:
    """A tokenizer with a token per word."""

    bos_token, chat_template = "<s>", None

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [0] * add_special_tokens + [len(word) for word in text.split()]


class Template:
    """A processor that sees pictures; its template writes contents as they are, or part by part."""

    chat_template = "there is one"
    image_processor = SimpleNamespace()

    def __init__(self, *, in_parts: bool) -> None:
        self._in_parts = in_parts

    def apply_chat_template(self, conversation: list[dict[str, Any]], **_: Any) -> str:
        content = conversation[0]["content"]
        if self._in_parts:
            return " ".join(part.get("text") or f"[{part['type']}]" for part in content)
        return str(content)


def request(*parts: Any, longest: int = 4) -> Request:
    return Request("k", "generate", (Message("user", parts),), None, None, Generation(max_new_tokens=longest), 0)


def renderer(processor: Any, limit: int | None = None) -> Renderer:
    return Renderer(Words(), processor, limit, lambda kind, number: f"<{kind}-{number}>")


def test_media_stand_where_the_conversation_has_them() -> None:
    asked = request(Text("one"), PICTURE, Text("two"), PICTURE)
    assert renderer(Template(in_parts=True)).render(asked).text == "one [image] two [image]"
    assert renderer(Template(in_parts=False)).render(asked).text == "one<image-1>two<image-2>"


def test_a_kind_that_the_processor_has_no_part_for_is_refused_by_name() -> None:
    with pytest.raises(PromptError, match="does not take audio") as refusal:
        renderer(Template(in_parts=True)).render(request(PICTURE, SOUND))
    assert refusal.value.kind == "Unsupported"
    with pytest.raises(PromptError, match="does not take image"):
        renderer(None).render(request(PICTURE))


def test_a_prompt_without_room_for_its_answer_is_refused() -> None:
    fitting, full = renderer(Template(in_parts=True), 5), renderer(Template(in_parts=True), 4)
    assert len(fitting.render(request(Text("one"), longest=3)).ids) == 2
    with pytest.raises(PromptError, match="2 tokens and 3 may be generated, the model takes 4") as refusal:
        full.render(request(Text("one"), longest=3))
    assert refusal.value.kind == "ContextTooLong"
