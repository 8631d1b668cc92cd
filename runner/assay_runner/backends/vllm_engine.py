"""vLLM's asynchronous engine, which runs in processes of its own beside this one."""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import os
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import BackendFailed, Generation, ModelContext, Request, Response
from assay_runner.backends.engine_backend import Refused
from assay_runner.backends.engine_media import frames_and_facts
from assay_runner.backends.engine_plan import verify_engine
from assay_runner.backends.engine_prompts import Prompt, Renderer, load_renderer
from assay_runner.backends.stopping import cut
from assay_runner.backends.vllm_plan import KIND
from assay_runner.decode.request import Opened
from assay_runner.decode.video import Frames

_FIRST_AND_LAST = 1 << 20
"""Tokens between two outputs of a request: more than any answer has, so that only the first and the last are told."""
_UNPINNED = ("distributed_executor_backend", "gpu_memory_utilization", "kv_cache_memory_bytes", "trust_remote_code")
_LOWEST = 0.01
"""vLLM raises a temperature between 0 and this without a word to the caller."""
_TOO_LONG = "maximum model length"
"""What vLLM says of a prompt that media have made too long."""
_ENDING = 20.0
"""Seconds in which the engine's processes may end by themselves."""


class VllmEngine:
    """A model in vLLM."""

    def __init__(self, context: ModelContext, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._context, self._clock = context, clock
        self._engine: Any = None
        self._renderer: Renderer | None = None
        self._starting: asyncio.Future[None] | None = None
        self._others: set[Any] = set()
        self._own: set[Any] | None = None
        """The engine's processes, once it is up."""
        self._requests = 0

    @property
    def width(self) -> int:
        """Requests that the engine runs at a time."""
        return int(self._context.pins["max_num_seqs"])

    async def start(self) -> Renderer:
        """Check the pins, start the engine and load the model.

        Raises:
            SpecError, Unfit: a pin does not hold here, or the model cannot be loaded.
            BackendFailed: the engine does not start.
        """
        self._others = set(multiprocessing.active_children())
        self._starting = asyncio.ensure_future(asyncio.to_thread(self._load))
        await asyncio.shield(self._starting)
        self._own = set(multiprocessing.active_children()) - self._others
        assert self._renderer is not None
        return self._renderer

    async def close(self) -> None:
        """End the engine's processes, whatever state they are in; safe to call twice."""
        starting, self._starting = self._starting, None
        if starting is not None and not starting.done():
            await self._give_up(starting)
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)
            # Its parts hold each other, and what is left of them when the process ends complains then.
            del engine
            gc.collect()
        await asyncio.to_thread(self._end_processes)

    async def _give_up(self, starting: asyncio.Future[None]) -> None:
        """End a start that nobody waits for: its thread notices when the engine's processes are gone."""
        for _ in range(int(_ENDING)):
            await asyncio.to_thread(self._end_processes)
            if (await asyncio.wait({starting}, timeout=1.0))[0]:
                await asyncio.gather(starting, return_exceptions=True)
                return

    async def answer(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response | Refused:
        """The answer to one request.

        Raises:
            PromptError: the prompt is too long with its media.
            BackendFailed: the engine is gone.
        """
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        generation = request.generation
        if request.kind == "generate" and 0 < generation.temperature < _LOWEST:
            return Refused("Unsupported", f"vLLM takes no temperature between 0 and {_LOWEST}")
        try:
            return await self._ask(request, prompt, opened)
        except EngineDeadError as error:
            raise BackendFailed("The engine has ended; its last words are above.") from error
        except (VLLMClientError, ValueError) as error:
            kind = "ContextTooLong" if _TOO_LONG in str(error) else "Unsupported"
            return Refused(kind, f"vLLM refuses it ({_reason(error)})")
        except EngineGenerateError as error:
            if self._engine is None or self._engine.errored:
                raise BackendFailed(f"The engine has failed ({_reason(error)}).") from error
            kind = "MediaError" if prompt.media else "EngineError"
            return Refused(kind, f"vLLM cannot answer it ({_reason(error.__cause__ or error)})")

    async def _ask(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response:
        settings = _scoring() if prompt.scored else _sampling(request.generation, request.seed)
        self._requests += 1
        began, first, output = self._clock(), None, None
        inputs: dict[str, Any] = {"prompt_token_ids": list(prompt.ids)}
        if opened is not None:
            inputs |= _media(prompt, opened, self._rate)
        async with aclosing(self._engine.generate(inputs, settings, str(self._requests))) as outputs:
            async for output in outputs:
                if first is None:
                    first = self._clock() - began
                    if prompt.media and self._renderer is not None:
                        self._renderer.check_length(len(output.prompt_token_ids), request.generation.max_new_tokens)
        if output is None or not output.finished or output.outputs[0].finish_reason not in ("stop", "length"):
            raise BackendFailed("The engine gave a request up without an answer.")
        if prompt.scored:
            return _score(request, prompt, output)
        answer = output.outputs[0]
        text, stopped = cut(answer.text, request.generation.stop)
        return Response(
            key=request.key,
            text=text,
            finish_reason="stop" if stopped else answer.finish_reason,
            tokens_in=len(output.prompt_token_ids),
            tokens_out=len(answer.token_ids),
            first_token=first,
        )

    @property
    def _rate(self) -> int:
        assert self._renderer is not None, "start() comes first"
        return self._renderer.rate

    def _load(self) -> None:
        source = verify_engine(KIND, self._context)
        pins, args = self._context.pins, self._context.args
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["VLLM_BATCH_INVARIANT"] = str(int(pins["batch_invariant"]))
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # A copy of a process with threads may hold locks that nobody gives back.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        known = {name: value for name, value in pins.items() if name in KIND.pinned}
        known |= {name: args[name] for name in _UNPINNED if name in args}
        del known["batch_invariant"]
        known.pop("gpu", None)
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

            engine = self._engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    model=source.name,
                    revision=source.commit,
                    tokenizer_revision=source.commit,
                    load_format="safetensors",
                    seed=0,
                    stream_interval=_FIRST_AND_LAST,
                    disable_log_stats=True,
                    **known,
                )
            )
            self._renderer = load_renderer(
                source,
                trusted=bool(args.get("trust_remote_code", False)),
                limit=int(engine.model_config.max_model_len),
                placeholder=partial(_placeholder, engine.model_config),
            )
        except (ImportError, OSError, ValueError, TypeError) as error:
            remedy = "see docs/backends.md for what is needed"
            raise SpecError("plan.json", "model", f"vLLM cannot load it ({_reason(error)})", remedy) from error
        except RuntimeError as error:
            raise BackendFailed(f"vLLM does not start ({_reason(error)}); its last words are above.") from error

    def _end_processes(self) -> None:
        own = self._own if self._own is not None else set(multiprocessing.active_children()) - self._others
        for process in own:
            process.kill()
        for process in own:
            process.join(_ENDING)


def _placeholder(config: Any, kind: str, number: int) -> str | None:
    from vllm.model_executor.model_loader import get_model_cls

    return get_model_cls(config).get_placeholder_str(kind, number)  # type: ignore[no-any-return]


def _sampling(generation: Generation, seed: int) -> Any:
    """vLLM's settings for one answer: what a request leaves open is off."""
    from vllm import SamplingParams

    sampled = generation.temperature > 0
    return SamplingParams(
        temperature=generation.temperature,
        top_p=1.0 if generation.top_p is None else generation.top_p,
        top_k=generation.top_k or 0,
        repetition_penalty=1.0 if generation.repetition_penalty is None else generation.repetition_penalty,
        max_tokens=generation.max_new_tokens,
        stop=[string for string in generation.stop if string],
        seed=seed if sampled else None,
    )


def _scoring() -> Any:
    """Log-probabilities of the prompt's own tokens; vLLM generates at least one after them."""
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)


def _score(request: Request, prompt: Prompt, output: Any) -> Response:
    found = output.prompt_logprobs[-prompt.scored :]
    values = [entry[token] for entry, token in zip(found, prompt.ids[-prompt.scored :], strict=True)]
    return Response(
        key=request.key,
        logprob=math.fsum(value.logprob for value in values),
        greedy=all(value.rank == 1 for value in values),
        tokens=len(values),
        tokens_in=len(prompt.ids),
        tokens_out=0,
    )


def _media(prompt: Prompt, opened: Opened, rate: int) -> dict[str, Any]:
    """Decoded media as vLLM takes them; the digest of the encoded bytes names each in vLLM's caches, which is enough
    because one engine decodes all in one way."""
    data: dict[str, list[Any]] = {}
    names: dict[str, list[str]] = {}
    for medium, one in zip(prompt.media, opened.media, strict=True):
        if isinstance(one, Frames):
            item: Any = frames_and_facts(one)
        else:
            item = (one, rate) if medium.kind == "audio" else one
        data.setdefault(medium.kind, []).append(item)
        names.setdefault(medium.kind, []).append(medium.sha256)
    return {"multi_modal_data": data, "multi_modal_uuids": names}


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
