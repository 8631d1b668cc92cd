"""vLLM through Assay, beside vLLM's own offline throughput: the same engine settings, the same prompts, in one run.

Runs itself in `.venv-vllm` (`make vllm`). The model has the shape of a language model of 135 million parameters and random
weights: what it says is of no account, what each token costs is. Every answer has the same length.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

PYTHON = Path(".venv-vllm/bin/python")
_COUNT, _TOKENS, _WIDTH = 64, 48, 16
_ROUNDS = 2


def vllm(count: int = _COUNT) -> dict[str, object]:
    """Generated tokens per second of both, the better of two rounds each, which take turns."""
    if not PYTHON.exists():
        return {"vllm": "not installed; make vllm installs it (Linux on x86-64, 1.2 GB)"}
    with tempfile.TemporaryDirectory() as folder:
        rates: dict[str, list[float]] = {"prepare": [], "offline": [], "assay": []}
        for side in ("prepare", *_ROUNDS * ("offline", "assay")):
            command = [str(PYTHON), "-m", "benchmarks.in_vllm", side, folder, str(count)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            rates[side].append(json.loads((Path(folder) / "rate").read_text()))
    offline, assay = max(rates["offline"]), max(rates["assay"])
    return {
        "requests": count,
        "tokens_per_request": _TOKENS,
        "assay_tokens_per_s": assay,
        "vllm_offline_tokens_per_s": offline,
        "rounds": rates["assay"] + rates["offline"],
        "share": round(assay / offline, 3),
        "wanted_share": 0.97,
    }


def _prompts(count: int) -> list[str]:
    words = ["the", "cat", "sat", "on", "the", "mat", "and", "looked", "at", "the", "other", "cat"]
    return [
        " ".join(words[(number + place) % len(words)] for place in range(24 + number % 40)) for number in range(count)
    ]


def _prepare(folder: str, count: int) -> float:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from support.models import make_tokenizer

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=1024, bos_token_id=0, eos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return 0.0


def _offline(folder: str, count: int) -> float:
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=folder, dtype="float32", max_num_seqs=_WIDTH, load_format="safetensors", seed=0, enforce_eager=True
    )
    settings = SamplingParams(temperature=0.0, max_tokens=_TOKENS, ignore_eos=True)
    engine.generate(_prompts(2), settings, use_tqdm=False)
    began = time.monotonic()
    found = engine.generate(_prompts(count), settings, use_tqdm=False)
    seconds = time.monotonic() - began
    return round(sum(len(one.outputs[0].token_ids) for one in found) / seconds, 1)


def _assay(folder: str, count: int) -> float:
    return asyncio.run(_through_assay(folder, count))


async def _through_assay(folder: str, count: int) -> float:
    from assay_api.evaljob import Model
    from assay_runner.backends.base import Batch, Generation, ModelContext, Request
    from assay_runner.backends.registry import describe, open_backend
    from assay_runner.cores import usable_cores

    model = Model.model_validate(
        {"backend": "vllm", "name": folder, "args": {"max_num_seqs": _WIDTH, "enforce_eager": True}}
    )
    described = describe(model, usable_cores())
    context = ModelContext(folder, None, model.args, described.pins, 0, batch_size=described.batch_size)
    backend = open_backend("vllm", context)
    await backend.start()

    async def batches(prompts: list[str]) -> AsyncIterator[Batch]:
        asked = [
            Request(f"{len(prompts)}/{place}", "generate", (), prompt, None, Generation(_TOKENS), 0)
            for place, prompt in enumerate(prompts)
        ]
        for start in range(0, len(asked), described.batch_size):
            yield tuple(asked[start : start + described.batch_size])

    tokens = 0
    try:
        async for _ in backend.stream(batches(_prompts(2))):
            pass
        began = time.monotonic()
        async for response in backend.stream(batches(_prompts(count))):
            assert response.error is None, response.error
            tokens += response.tokens_out or 0
        return round(tokens / (time.monotonic() - began), 1)
    finally:
        await backend.close()


if __name__ == "__main__":
    sys.path.insert(0, "tests")
    side, folder, count = sys.argv[1:]
    found = {"prepare": _prepare, "offline": _offline, "assay": _assay}[side](folder, int(count))
    # Engines write to both outputs.
    (Path(folder) / "rate").write_text(json.dumps(found))
