"""Loads a planned model so that it computes the same bits each time: pinned threads, dtype, attention, and no fast
paths whose result depends on timing."""

from __future__ import annotations

import copy
import inspect
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import ModelContext
from assay_runner.backends.source import Source
from assay_runner.backends.transformers_plan import model_kind, verify

_UNLIMITED = 10**9
"""Tokenizers without a limit state an enormous one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run.

    `tokenizer` and `processor` belong to the thread that prepares batches, `decoder` to the one that runs the model:
    a fast tokenizer must not be used by two threads at once."""

    model: Any
    tokenizer: Any
    processor: Any | None
    """None for text models."""
    decoder: Any
    device: str
    dtype: Any
    limit: int | None
    """Tokens of prompt and answer together, where the model states it."""
    stops: frozenset[int]
    """Tokens that end an answer."""
    pad: int
    keeps_logits: bool
    """Whether it can be asked for logits of some positions only."""


def use_pinned_threads(threads: int) -> None:
    """Limit torch's pool for the calling thread; every thread that computes calls this."""
    import torch

    torch.set_num_threads(threads)


def load(context: ModelContext) -> Loaded:
    """Check the pins and load the model.

    Raises:
        SpecError: a pin does not hold here, or the model cannot be loaded as pinned.
        Failed: the hub cannot be reached.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # cuBLAS reads this when its first handle is made; without it, its results may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    source = verify(context)
    _compute_deterministically(str(context.pins["device"]), int(context.pins["threads"]))
    trusted = bool(context.args.get("trust_remote_code", False))
    from safetensors import SafetensorError

    try:
        return _load(context, source, trusted)
    except (ImportError, OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SpecError(
            "plan.json",
            "model",
            f"{source.name} cannot be loaded ({reason})",
            "see docs/backends.md for what is needed",
        ) from error


def _compute_deterministically(device: str, threads: int) -> None:
    import torch

    use_pinned_threads(threads)
    if torch.get_num_interop_threads() != 1:
        # Refused once something in this process has used the pool; it moves no bits, only scheduling.
        with suppress(RuntimeError):
            torch.set_num_interop_threads(1)
    # On CUDA a few operations have no deterministic form; there the promise is best-effort.
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")


def _load(context: ModelContext, source: Source, trusted: bool) -> Loaded:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    pins = context.pins
    device, dtype = str(pins["device"]), getattr(torch, str(pins["dtype"]))
    common: dict[str, Any] = {"revision": source.commit, "trust_remote_code": trusted}
    if model_kind(source, trusted=trusted) == "image-text":
        processor = AutoProcessor.from_pretrained(source.name, **common)
        tokenizer, auto = processor.tokenizer, AutoModelForImageTextToText
    else:
        processor, auto = None, AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(source.name, **common)
    model, report = auto.from_pretrained(
        source.name,
        dtype=dtype,
        attn_implementation=pins["attn"],
        use_safetensors=True,
        output_loading_info=True,
        **common,
    )
    _refuse_gaps(report)
    model = model.to(device).eval()
    stops = _stop_tokens(model, tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    tokenizer.padding_side = "left"
    _forget_sampling_defaults(model, sorted(stops), tokenizer.pad_token_id)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        decoder=copy.deepcopy(tokenizer),
        device=device,
        dtype=dtype,
        limit=_limit(model.config, tokenizer),
        stops=stops,
        pad=tokenizer.pad_token_id,
        keeps_logits="logits_to_keep" in inspect.signature(model.forward).parameters,
    )


def _refuse_gaps(report: dict[str, Any]) -> None:
    """Parameters that the files lack would be filled with random numbers."""
    gaps = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if gaps:
        raise ValueError(f"its files lack {len(gaps)} of the model's parameters, the first is {gaps[0]}")


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: what the model's generation settings say, and the tokenizer's end of text."""
    stated = model.generation_config.eos_token_id
    listed = [stated] if isinstance(stated, int) else list(stated or [])
    return frozenset([*listed, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])])


def _forget_sampling_defaults(model: Any, stops: list[int], pad: int) -> None:
    """A checkpoint may bring a temperature or a repetition penalty, which transformers would mix into every request
    that says nothing of them; a request says all there is."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(eos_token_id=stops or None, pad_token_id=pad)


def _limit(config: Any, tokenizer: Any) -> int | None:
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    stated = [number for number in (positions, tokenizer.model_max_length) if number and number < _UNLIMITED]
    return min(stated) if stated else None
