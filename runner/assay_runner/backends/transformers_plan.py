"""What is pinned of a model that runs in this process, and whether a machine has what the plan pins.

Everything that can move the low bits of a number is pinned: versions, device kind and instruction set, dtype,
threads, batch size, attention, and the weights themselves by content. A worker compares what it has with the plan
before it loads anything."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay_api.errors import SpecError, Unfit
from assay_runner.backends.arguments import MANIFEST, Argument, check, is_count, is_switch, one_of
from assay_runner.backends.base import Description, ModelContext
from assay_runner.backends.source import Source, broken, locate, planned_source, refuse_others
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model

KNOWN = {
    "attn": one_of("sdpa", "eager"),
    "batch_size": Argument("a whole number from 1", is_count),
    "device": one_of("cpu", "cuda"),
    "dtype": one_of("float32", "bfloat16", "float16"),
    "threads": Argument("a whole number from 1", is_count),
    "trust_remote_code": Argument("true or false", is_switch),
}
_CPUINFO = Path("/proc/cpuinfo")

ModelKind = Literal["text", "image-text"]


def describe(model: Model, cores: int, cache: ModelCache | None = None) -> Description:
    """What is pinned of the model; its configuration is read, its weights are only hashed.

    Raises:
        SpecError: an argument is wrong, there is no such model, or it is of a kind this backend does not run.
        Failed: the hub or the store cannot be reached.
    """
    check("transformers", model.args, KNOWN)
    source = locate(model.name, model.revision, cores, cache)
    kind = model_kind(source, trusted=bool(model.args.get("trust_remote_code", False)))
    device = model.args.get("device") or ("cuda" if _has_cuda() else "cpu")
    pins = {
        **environment(device),
        "dtype": model.args.get("dtype") or ("float32" if device == "cpu" else "bfloat16"),
        "threads": model.args.get("threads", 1),
        "batch_size": model.args.get("batch_size", 16),
        "attn": model.args.get("attn", "sdpa"),
        "weights": source.pin,
    }
    return Description(
        pins=pins,
        batch_size=pins["batch_size"],
        determinism="exact" if device == "cpu" else "best-effort",
        loglikelihood=True,
        media=frozenset({"image"}) if kind == "image-text" else frozenset(),
    )


def verify(context: ModelContext) -> Source:
    """Where the planned model is here, once everything the plan pins has been found as pinned.

    Raises:
        Unfit: this machine is not of the planned kind; the first pin that does not hold here is named.
        SpecError: the model is not the planned one.
        Failed: the hub or the store cannot be reached.
    """
    pins = context.pins
    if pins.get("device") == "cuda" and not _has_cuda():
        raise Unfit(broken("device", "cuda", "no CUDA device", "give workers a GPU, or plan with args.device: cpu"))
    refuse_others(pins, environment(str(pins.get("device", "cpu"))))
    return planned_source(context)


def environment(device: str) -> dict[str, str]:
    """The part of the pins that the machine decides. On a CPU also its architecture, maker and instruction set, by
    which numeric libraries choose their kernels."""
    torch_version = version("torch")
    pins = {"torch": torch_version, "transformers": version("transformers"), "device": device}
    if device == "cpu":
        import torch

        return pins | {"cpu": f"{platform.machine()} {_cpu_maker()} {torch.backends.cpu.get_cpu_capability()}"}
    # A planner without a GPU may have another build of the same version.
    return pins | {"torch": torch_version.partition("+")[0]}


def model_kind(source: Source, *, trusted: bool) -> ModelKind:
    """Which auto class runs the model, by its configuration.

    Raises:
        SpecError: its architecture is unknown, needs code of its own, or neither answers with text nor takes text.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    try:
        config = AutoConfig.from_pretrained(source.name, revision=source.commit, trust_remote_code=trusted)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"the configuration of {source.name} cannot be used ({reason})",
            "use a model that transformers knows, or set args.trust_remote_code if you trust its code",
        ) from error
    own_classes: Mapping[str, Any] = getattr(config, "auto_map", None) or {}
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or "AutoModelForImageTextToText" in own_classes:
        return "image-text"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in own_classes:
        return "text"
    raise SpecError(
        MANIFEST,
        "spec.model.name",
        f"models of type {config.model_type} are neither text nor image-text models",
        "use another model or backend",
    )


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _cpu_maker() -> str:
    try:
        text = _CPUINFO.read_text()
    except OSError:
        return "unknown"
    found = re.search(r"^(?:vendor_id|CPU implementer)\s*:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else "unknown"
