"""The arguments of the SGLang backend, by the names of SGLang's own ServerArgs, and what a plan pins of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay_runner.backends.arguments import Argument, is_count, is_switch
from assay_runner.backends.base import Description
from assay_runner.backends.engine_plan import DTYPE, GPU, NAME, SHARE, SIZE, EngineKind, describe_engine
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model

WIDTH = 256
"""Requests that run at a time, unless told otherwise."""
_COUNT = Argument("a whole number from 1", is_count)
_SWITCH = Argument("true or false", is_switch)

KIND = EngineKind(
    name="sglang",
    distributions=("sglang",),
    known={
        "attention_backend": NAME,
        "chunked_prefill_size": SIZE,
        "context_length": SIZE,
        "disable_cuda_graph": _SWITCH,
        "disable_radix_cache": _SWITCH,
        "dtype": DTYPE,
        "enable_deterministic_inference": _SWITCH,
        "gpu": GPU,
        "kv_cache_dtype": NAME,
        "max_running_requests": _COUNT,
        "mem_fraction_static": SHARE,
        "pp_size": _COUNT,
        "quantization": NAME,
        "tp_size": _COUNT,
        "trust_remote_code": _SWITCH,
    },
    pinned={
        "attention_backend": None,
        "chunked_prefill_size": None,
        "context_length": None,
        "disable_cuda_graph": False,
        "disable_radix_cache": False,
        "dtype": None,
        "enable_deterministic_inference": False,
        "gpu": None,
        "kv_cache_dtype": None,
        "max_running_requests": WIDTH,
        "pp_size": 1,
        "quantization": None,
        "tp_size": 1,
    },
    invariant="enable_deterministic_inference",
)


def describe(model: Model, cores: int, cache: ModelCache | None = None) -> Description:
    """What is pinned of the model; no engine is imported.

    Raises:
        SpecError: an argument is wrong, or there is no such model.
        Failed: the hub or the store cannot be reached.
    """
    return describe_engine(KIND, model, "cuda", cores, cache)
