"""A stand-in for SGLang: its engine needs a GPU. It follows the documented interface of `sglang.Engine` (`async_generate`,
`shutdown`, `tokenizer_manager.abort_request`), and answers with transformers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

STAND_IN_GPU = "Stand-In GPU"


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it for one test, as a package in `folder`, and a GPU with it."""
    (folder / "sglang.py").write_text("from support.sglang_stand_in import Engine\n")
    facts = folder / "sglang-0.0.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: sglang\nVersion: 0.0.0\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "sglang", raising=False)
    monkeypatch.setattr("assay_runner.backends.engine_plan._has_cuda", lambda: True)
    monkeypatch.setattr("assay_runner.backends.engine_plan._gpu", lambda: STAND_IN_GPU)


class _Manager:
    def __init__(self) -> None:
        self.aborted: list[str] = []

    def abort_request(self, rid: str = "", abort_all: bool = False) -> None:
        self.aborted.append(rid)


class Engine:
    """A text model of transformers behind SGLang's interface, one request at a time."""

    def __init__(self, *, model_path: str, dtype: str, random_seed: int, load_format: str, **server_args: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.server_args, self.tokenizer_manager, self.closed = server_args, _Manager(), False
        self._tokenizer = AutoTokenizer.from_pretrained(model_path)
        self._model = AutoModelForCausalLM.from_pretrained(model_path, dtype=getattr(torch, dtype)).eval()
        self._one = asyncio.Lock()

    async def async_generate(
        self,
        prompt: str | None = None,
        sampling_params: dict[str, Any] | None = None,
        input_ids: list[int] | None = None,
        image_data: Any = None,
        audio_data: Any = None,
        video_data: Any = None,
        return_logprob: bool = False,
        logprob_start_len: int = -1,
        top_logprobs_num: int = 0,
        rid: str | None = None,
    ) -> dict[str, Any]:
        """The answer, as SGLang words it."""
        if self.closed:
            raise RuntimeError("the engine has been shut down")
        ids = input_ids if input_ids is not None else self._tokenizer.encode(prompt)
        limit = self._model.config.max_position_embeddings
        if len(ids) >= limit:
            raise ValueError(
                f"The input ({len(ids)} tokens) is longer than the model's context length ({limit} tokens)."
            )
        async with self._one:
            facts, text = await asyncio.to_thread(self._generate, ids, sampling_params or {})
            if return_logprob:
                facts |= await asyncio.to_thread(self._logprobs, ids, logprob_start_len)
        return {"text": text, "meta_info": {"id": rid, "prompt_tokens": len(ids), **facts}}

    def shutdown(self) -> None:
        self.closed = True

    def _generate(self, prompt: list[int], settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
        import torch

        generator = torch.Generator().manual_seed(settings.get("sampling_seed", 0))
        ids, text, ended = list(prompt), "", {"type": "length", "length": settings["max_new_tokens"]}
        for _ in range(settings["max_new_tokens"]):
            token = self._next(ids, settings, generator)
            ids.append(token)
            text = self._tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
            matched = [stop for stop in settings.get("stop", ()) if stop in text]
            if matched:
                ended = {"type": "stop", "matched": matched[0]}
                text = text[: text.index(matched[0])]
                break
            if token == self._tokenizer.eos_token_id:
                ended = {"type": "stop", "matched": token}
                break
        return {"completion_tokens": len(ids) - len(prompt), "finish_reason": ended}, text

    def _next(self, ids: list[int], settings: dict[str, Any], generator: Any) -> int:
        import torch

        with torch.no_grad():
            scores = self._model(torch.tensor([ids])).logits[0, -1].float().clone()
        penalty = settings.get("repetition_penalty", 1.0)
        seen = torch.tensor(sorted(set(ids)))
        scores[seen] = torch.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
        if settings["temperature"] == 0 or settings.get("top_k") == 1:
            return int(scores.argmax())
        assert settings.get("top_k", -1) == -1 and settings.get("top_p", 1.0) == 1.0, "not needed by the tests"
        likely = torch.softmax(scores / settings["temperature"], dim=-1)
        return int(torch.multinomial(likely, 1, generator=generator))

    def _logprobs(self, ids: list[int], start: int) -> dict[str, Any]:
        import torch

        with torch.inference_mode():
            likely = torch.log_softmax(self._model(torch.tensor([ids])).logits[0].float(), dim=-1)
        given: list[Any] = [(None, ids[start], None)]
        best: list[Any] = [None]
        for place in range(start + 1, len(ids)):
            row = likely[place - 1]
            given.append((float(row[ids[place]]), ids[place], None))
            best.append([(float(row.max()), int(row.argmax()), None)])
        return {"input_token_logprobs": given, "input_top_logprobs": best}
