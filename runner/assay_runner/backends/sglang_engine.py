"""SGLang's engine, which runs in processes of its own beside this one.

Written against the documented interface of `sglang.Engine`; it needs a GPU."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import BackendFailed, Generation, ModelContext, Request, Response
from assay_runner.backends.engine_backend import Refused
from assay_runner.backends.engine_media import frames_and_facts
from assay_runner.backends.engine_plan import verify_engine
from assay_runner.backends.engine_prompts import Prompt, Renderer, load_renderer
from assay_runner.backends.sglang_plan import KIND
from assay_runner.backends.stopping import cut
from assay_runner.decode.request import Opened
from assay_runner.decode.video import Frames

_UNPINNED = ("mem_fraction_static", "trust_remote_code")


class SglangEngine:
    """A model in SGLang."""

    def __init__(self, context: ModelContext) -> None:
        self._context = context
        self._engine: Any = None
        self._renderer: Renderer | None = None
        self._requests = 0

    @property
    def width(self) -> int:
        """Requests that the engine runs at a time."""
        return int(self._context.pins["max_running_requests"])

    async def start(self) -> Renderer:
        """Check the pins, start the engine and load the model.

        Raises:
            SpecError, Unfit: a pin does not hold here, or the model cannot be loaded.
            BackendFailed: the engine does not start.
        """
        source = await asyncio.to_thread(verify_engine, KIND, self._context)
        pins, args = self._context.pins, self._context.args
        known = {name: value for name, value in pins.items() if name in KIND.pinned and name != "gpu"}
        known |= {name: args[name] for name in _UNPINNED if name in args}
        trusted = bool(args.get("trust_remote_code", False))
        try:
            import sglang

            # It installs signal handlers, which only the main thread may; the event loop waits meanwhile.
            self._engine = sglang.Engine(
                model_path=source.name, revision=source.commit, load_format="safetensors", random_seed=0, **known
            )
            limit = pins.get("context_length")
            self._renderer = load_renderer(source, trusted=trusted, limit=limit, placeholder=_no_placeholder)
        except (ImportError, OSError, ValueError, TypeError) as error:
            remedy = "see docs/backends.md for what is needed"
            raise SpecError("plan.json", "model", f"SGLang cannot load it ({_reason(error)})", remedy) from error
        except RuntimeError as error:
            raise BackendFailed(f"SGLang does not start ({_reason(error)}).") from error
        return self._renderer

    async def close(self) -> None:
        """End the engine's processes; safe to call twice."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)

    async def answer(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response | Refused:
        """The answer to one request.

        Raises:
            PromptError: the prompt is too long with its media.
            BackendFailed: the engine is gone.
        """
        generation = request.generation
        if request.kind == "generate" and generation.temperature > 0 and not self._seeded:
            problem = "SGLang honours a request's seed only with args.enable_deterministic_inference"
            return Refused("Unsupported", f"{problem}; set it, or a temperature of 0")
        self._requests += 1
        rid = f"assay-{self._requests}"
        asked = self._asked(request, prompt, opened) | {"rid": rid}
        try:
            output = await self._engine.async_generate(**asked)
        except asyncio.CancelledError:
            if self._engine is not None:
                self._engine.tokenizer_manager.abort_request(rid)
            raise
        except ValueError as error:
            return Refused("Unsupported", f"SGLang refuses it ({_reason(error)})")
        except (RuntimeError, OSError) as error:
            raise BackendFailed(f"The engine has failed ({_reason(error)}).") from error
        facts = output["meta_info"]
        ended = facts["finish_reason"] or {}
        if ended.get("type") == "abort":
            if int(ended.get("status_code") or 500) >= 500:
                raise BackendFailed(f"The engine gave a request up ({ended.get('message')}).")
            return Refused("Unsupported", f"SGLang refuses it ({ended.get('message')})")
        if prompt.scored:
            return _score(request, prompt, facts)
        if prompt.media and self._renderer is not None:
            self._renderer.check_length(facts["prompt_tokens"], generation.max_new_tokens)
        text, stopped = cut(output["text"], generation.stop)
        return Response(
            key=request.key,
            text=text,
            finish_reason="stop" if stopped else ended["type"],
            tokens_in=facts["prompt_tokens"],
            tokens_out=facts["completion_tokens"],
        )

    @property
    def _seeded(self) -> bool:
        return bool(self._context.pins["enable_deterministic_inference"])

    def _asked(self, request: Request, prompt: Prompt, opened: Opened | None) -> dict[str, Any]:
        if prompt.scored:
            # The first entry returned is of the token before the continuation, and has no value.
            return {
                "input_ids": list(prompt.ids),
                "sampling_params": {"temperature": 0.0, "max_new_tokens": 1},
                "return_logprob": True,
                "logprob_start_len": len(prompt.ids) - prompt.scored - 1,
                "top_logprobs_num": 1,
            }
        settings = _sampling(request.generation, request.seed if self._seeded else None)
        if opened is None:
            return {"input_ids": list(prompt.ids), "sampling_params": settings}
        # SGLang's processors of media put their placeholders into text.
        return {"prompt": prompt.text, "sampling_params": settings} | _media(prompt, opened)


def _sampling(generation: Generation, seed: int | None) -> dict[str, Any]:
    """SGLang's settings for one answer: what a request leaves open is off."""
    settings: dict[str, Any] = {
        "temperature": generation.temperature,
        "top_p": 1.0 if generation.top_p is None else generation.top_p,
        "top_k": generation.top_k or -1,
        "repetition_penalty": 1.0 if generation.repetition_penalty is None else generation.repetition_penalty,
        "max_new_tokens": generation.max_new_tokens,
        "stop": [string for string in generation.stop if string],
    }
    if generation.temperature > 0 and seed is not None:
        # SGLang keeps seeds in 32 bits with a sign.
        settings["sampling_seed"] = seed & 0x7FFFFFFF
    return settings


def _score(request: Request, prompt: Prompt, facts: dict[str, Any]) -> Response | Refused:
    wanted = prompt.ids[-prompt.scored :]
    found = facts["input_token_logprobs"][-prompt.scored :]
    best = facts["input_top_logprobs"][-prompt.scored :]
    if tuple(entry[1] for entry in found) != wanted or any(entry[0] is None for entry in found):
        return Refused("EngineError", "SGLang returned log-probabilities of other tokens than were asked for")
    return Response(
        key=request.key,
        logprob=math.fsum(entry[0] for entry in found),
        greedy=all(top[0][1] == token for top, token in zip(best, wanted, strict=True)),
        tokens=len(found),
        tokens_in=len(prompt.ids),
        tokens_out=0,
    )


def _media(prompt: Prompt, opened: Opened) -> dict[str, list[Any]]:
    """Decoded media as SGLang takes them."""
    data: dict[str, list[Any]] = {}
    for medium, one in zip(prompt.media, opened.media, strict=True):
        item = frames_and_facts(one)[0] if isinstance(one, Frames) else one
        data.setdefault(f"{medium.kind}_data", []).append(item)
    return data


def _no_placeholder(kind: str, number: int) -> str | None:
    """SGLang names none for templates that take texts alone."""
    return None


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
