"""Makes tiny text models with random weights, and what tests ask them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from assay_runner.backends.base import Backend, Batch, Generation, Message, Request, Response, Text

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CORPUS = [
    "the cat sat on the mat and looked at the other cat",
    "naïve café über straße",
    "是的 不是 猫",
    "yes no yes no",
]


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer of 320 tokens, <s> and </s> first."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def make_text_model(
    folder: Path, *, chat_template: str | None = None, positions: int = 256, seed: int = 0, heads: int = 4
) -> Path:
    """A Llama of two layers with random weights and a byte-level BPE tokenizer, saved in `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    fast = make_tokenizer()
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.6,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def ask(key: str, text: str, *, seed: int = 0, **generation: Any) -> Request:
    """A question without media."""
    settings = Generation(**({"max_new_tokens": 8} | generation))
    return Request(key, "generate", (Message("user", (Text(text),)),), text, None, settings, seed)


def score(key: str, prompt: str, continuation: str) -> Request:
    """A continuation to be scored."""
    messages = (Message("user", (Text(prompt),)),)
    return Request(key, "loglikelihood", messages, prompt, continuation, Generation(), 0)


async def answers(backend: Backend, batches: Iterable[Sequence[Request]]) -> list[Response]:
    """All responses, in the order in which they came."""

    async def feed() -> AsyncIterator[Batch]:
        for batch in batches:
            yield tuple(batch)

    return [response async for response in backend.stream(feed())]


async def started_answers(backend: Backend, batches: Iterable[Sequence[Request]]) -> list[Response]:
    """The same, with start and close around it."""
    try:
        await backend.start()
        return await answers(backend, batches)
    finally:
        await backend.close()
