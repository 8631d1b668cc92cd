"""Loads a planned model so that it computes the same bits each time: pinned threads, dtype, attention, and no fast
paths whose result depends on timing."""

from __future__ import annotations

import copy
import inspect
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import ModelContext
from assay_runner.backends.media_arguments import sampling, video_decoder
from assay_runner.backends.source import Source
from assay_runner.backends.transformers_ctc import TRAINED_WITH, hearing
from assay_runner.backends.transformers_kind import Kind, model_kind
from assay_runner.backends.transformers_plan import verify
from assay_runner.decode.request import Wanted
from assay_runner.decode.sampling import Sampling

_USUAL_RATE = 16_000
_SPOKEN = {"language": "language", "speech_task": "task"}
_NEEDED = (
    "alignment_heads",
    "begin_suppress_tokens",
    "bos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "is_multilingual",
    "lang_to_id",
    "max_initial_timestamp_index",
    "no_timestamps_token_id",
    "prev_sot_token_id",
    "suppress_tokens",
    "task_to_id",
)
"""Generation settings by which encoder-decoders work at all."""
_UNLIMITED = 10**9
"""Tokenizers without a limit state an enormous one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run.

    `tokenizer` and `processor` belong to the thread that prepares batches, `decoder` to the one that runs the model:
    a fast tokenizer must not be used by two threads at once."""

    kind: Kind
    model: Any
    tokenizer: Any
    processor: Any | None
    """None for text models."""
    wanted: Wanted
    """How media are to be decoded."""
    decoder: Any
    device: str
    dtype: Any
    limit: int | None
    """Tokens of prompt and answer together, of each where an encoder reads the prompt; where the model states it."""
    stops: frozenset[int]
    """Tokens that end an answer."""
    pad: int
    keeps_logits: bool
    """Whether it can be asked for logits of some positions only."""
    spoken: Mapping[str, str]
    """Language and task of a speech model, where they are given."""


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
    import transformers
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    pins = context.pins
    device, dtype = str(pins["device"]), getattr(torch, str(pins["dtype"]))
    common: dict[str, Any] = {"revision": source.commit, "trust_remote_code": trusted}
    kind = model_kind(source, trusted=trusted)
    if kind.speech:
        # It warns for each window of each sound that a limit of its own gives way to the one asked for.
        logging.getLogger("transformers.generation.utils").setLevel(logging.ERROR)
    processor: Any | None = None
    if kind.ctc:
        processor = hearing(source.name, common)
    elif kind.has_processor:
        processor = _processor(source.name, kind, pins, common)
    tokenizer = processor.tokenizer if processor else transformers.AutoTokenizer.from_pretrained(source.name, **common)
    model = weights(source.name, kind, dtype=dtype, attn_implementation=pins["attn"], **common).to(device)
    stops = frozenset() if kind.ctc else _stop_tokens(model, tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    # What an encoder reads has its positions from the left.
    tokenizer.padding_side = "right" if kind.encodes else "left"
    if not kind.ctc:
        _forget_sampling_defaults(model, sorted(stops), tokenizer.pad_token_id)
    return Loaded(
        kind=kind,
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        wanted=Wanted(sampling(pins) if "video" in pins else Sampling(frames=1), _rate(processor), video_decoder(pins)),
        decoder=copy.deepcopy(tokenizer),
        device=device,
        dtype=dtype,
        limit=None if kind.ctc else _limit(model.config, None if kind.encodes else tokenizer),
        stops=stops,
        pad=tokenizer.pad_token_id,
        keeps_logits="logits_to_keep" in inspect.signature(model.forward).parameters,
        spoken={ours: context.args[name] for name, ours in _SPOKEN.items() if name in context.args},
    )


def weights(name: str, kind: Kind, **settings: Any) -> Any:
    """The model, ready to answer; one that can speak its answers is loaded without its voice.

    Raises:
        ValueError: its files lack parameters.
        OSError, ImportError, SafetensorError: they cannot be read.
    """
    import transformers

    if kind.part:
        pinned = {key: settings[key] for key in ("revision", "trust_remote_code") if key in settings}
        settings["config"] = getattr(transformers.AutoConfig.from_pretrained(name, **pinned), kind.part)
    model, report = getattr(transformers, kind.auto).from_pretrained(
        name, use_safetensors=True, output_loading_info=True, **settings
    )
    _refuse_gaps(report)
    return model.eval()


def _processor(name: str, kind: Kind, pins: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
    """The processor, with the pinned form of its image processor wherever it runs."""
    from transformers import AutoImageProcessor, AutoProcessor

    form = {"backend": "pil"} if pins.get("images") == "pillow" else {}
    if not kind.torchvision:
        return AutoProcessor.from_pretrained(name, **common, **form)
    # Here the form would be asked of the video processor too, which has only one.
    processor = AutoProcessor.from_pretrained(name, **common)
    if form:
        processor.image_processor = AutoImageProcessor.from_pretrained(name, **common, **form)
    return processor


def _rate(processor: Any | None) -> int:
    """Samples of sound per second that the model is made for."""
    for part in ("feature_extractor", "audio_processor"):
        rate = getattr(getattr(processor, part, None), "sampling_rate", None)
        if rate:
            return int(rate)
    return _USUAL_RATE


def on_device(loaded: Loaded, value: Any) -> Any:
    """A tensor where the model is, in its dtype if it is of floats; anything else as it is."""
    if not hasattr(value, "is_floating_point"):
        return value
    return value.to(loaded.device, loaded.dtype) if value.is_floating_point() else value.to(loaded.device)


def _refuse_gaps(report: dict[str, Any]) -> None:
    """Parameters that the files lack would be filled with random numbers."""
    missing = [key for key in map(str, report["missing_keys"]) if key.rpartition(".")[2] != TRAINED_WITH]
    gaps = sorted([*missing, *map(str, report["mismatched_keys"])])
    if gaps:
        raise ValueError(f"its files lack {len(gaps)} of the model's parameters, the first is {gaps[0]}")


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: what the model's generation settings say, and the tokenizer's end of text."""
    stated = model.generation_config.eos_token_id
    listed = [stated] if isinstance(stated, int) else list(stated or [])
    return frozenset([*listed, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])])


def _forget_sampling_defaults(model: Any, stops: list[int], pad: int) -> None:
    """A checkpoint may bring a temperature or a repetition penalty, which transformers would mix into every request
    that says nothing of them; a request says all there is. What an encoder-decoder needs to begin and to keep to its
    language is no such default."""
    from transformers import GenerationConfig

    brought = model.generation_config.to_diff_dict()
    kept = {name: brought[name] for name in _NEEDED if name in brought} if model.config.is_encoder_decoder else {}
    # Whisper's timestamps are computed with the one token itself.
    end = stops[0] if len(stops) == 1 else stops or None
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, **kept)


def _limit(config: Any, tokenizer: Any | None) -> int | None:
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    stated = [
        number for number in (positions, getattr(tokenizer, "model_max_length", None)) if number and number < _UNLIMITED
    ]
    return min(stated) if stated else None
