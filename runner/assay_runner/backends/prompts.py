"""What backends that render and tokenise by themselves have in common: the chat template, and where a continuation that is
scored begins."""

from __future__ import annotations

from typing import Any

from assay_runner.backends.base import Message, Request, Text


class PromptError(Exception):
    """The request cannot be put to this model. `kind` is for its record."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def score_tokens(tokenizer: Any, request: Request) -> tuple[list[int], list[int]]:
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


def apply_template(renderer: Any, messages: tuple[Message, ...], *, in_parts: bool) -> str:
    """The conversation as the chat template of `renderer`, a tokenizer or processor, writes it; `in_parts` says whether
    contents are handed to it as lists of parts or as texts.

    Raises:
        PromptError: the template refuses it.
    """
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
