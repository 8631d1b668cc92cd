"""What is pinned of a model that runs in this process, and whether a machine has what the plan pins.

Everything that can move the low bits of a number is pinned: versions, device kind and instruction set, dtype,
threads, batch size, attention, and the weights themselves by content. A worker compares what it has with the plan
before it loads anything."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay_api.errors import SpecError, Unfit
from assay_runner.backends.arguments import MANIFEST, Argument, check, is_count, is_switch, one_of
from assay_runner.backends.base import Description, ModelContext
from assay_runner.backends.media_arguments import VIDEO, decoders, decoders_here, video_pins
from assay_runner.backends.source import Source, broken, locate, planned_source, refuse_others
from assay_runner.backends.transformers_kind import Kind, model_kind
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model

AUTO = "auto"
"""The batch size that is found by itself."""
_FIXED_BATCH, _LARGEST_BATCH = 16, 64
"""Requests that run together by default, and at most where the size is found by itself."""
_SPEECH = {
    "language": Argument(
        "a language as the model names it, such as en", lambda value: isinstance(value, str) and value != ""
    ),
    "speech_task": one_of("transcribe", "translate"),
}
KNOWN = {
    "attn": one_of("sdpa", "eager"),
    "batch_size": Argument("a whole number from 1, or auto", lambda value: value == AUTO or is_count(value)),
    "device": one_of("cpu", "cuda"),
    "dtype": one_of("float32", "bfloat16", "float16"),
    "threads": Argument("a whole number from 1", is_count),
    "trust_remote_code": Argument("true or false", is_switch),
    **VIDEO,
    **_SPEECH,
}
_CPUINFO = Path("/proc/cpuinfo")


def describe(model: Model, cores: int, cache: ModelCache | None = None) -> Description:
    """What is pinned of the model; its configuration is read, its weights are only hashed.

    Raises:
        SpecError: an argument is wrong, there is no such model, or it is of a kind this backend does not run.
        Failed: the hub or the store cannot be reached.
    """
    args = model.args
    check("transformers", args, KNOWN)
    source = locate(model.name, model.revision, cores, cache)
    kind = model_kind(source, trusted=bool(args.get("trust_remote_code", False)))
    _refuse_idle(args, kind)
    device = args.get("device") or ("cuda" if _has_cuda() else "cpu")
    size = args.get("batch_size", _FIXED_BATCH if device == "cpu" else AUTO)
    pins = {
        **environment(device),
        "dtype": args.get("dtype") or ("float32" if device == "cpu" else "bfloat16"),
        "threads": args.get("threads", 1),
        "batch_size": size,
        "attn": args.get("attn", "sdpa"),
        "weights": source.pin,
        **_media_pins(args, kind),
    }
    scores = not kind.encodes and not kind.speech
    return Description(
        pins=pins,
        batch_size=_LARGEST_BATCH if size == AUTO else size,
        determinism="exact" if device == "cpu" and size != AUTO else "best-effort",
        loglikelihood=scores,
        media=kind.media,
        samples=not kind.ctc,
        loglikelihood_media=scores and bool(kind.media),
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
    if "av" in pins:
        refuse_others(pins, decoders_here(pins))
    if "torchvision" in pins:
        refuse_others(pins, {"torchvision": _torchvision() or "none"})
    return planned_source(context)


def _media_pins(args: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    if not kind.media:
        return {}
    pins = video_pins(args) if "video" in kind.media else dict(decoders())
    if "image" in kind.media:
        # Pictures are prepared the same way with and without torchvision, unless there is no other.
        pins["images"] = "torchvision" if kind.torchvision and not kind.pillow else "pillow"
    if kind.torchvision:
        found = _torchvision()
        if found is None:
            raise SpecError(
                MANIFEST,
                "spec.model.name",
                "this model's processor exists only with torchvision, which is not installed",
                "install the torchvision that belongs to the torch here, for the planner and the workers",
            )
        pins["torchvision"] = found
    return pins


def _refuse_idle(args: Mapping[str, Any], kind: Kind) -> None:
    """Refuse arguments that this model has no use for."""
    told = kind.speech and not kind.ctc
    for names, wanted, what in (
        (VIDEO, "video" in kind.media, "take videos"),
        (_SPEECH, told, "choose how it transcribes"),
    ):
        for name in names:
            if name in args and not wanted:
                raise SpecError(MANIFEST, f"spec.model.args.{name}", f"this model does not {what}", "remove it")


def _torchvision() -> str | None:
    try:
        return version("torchvision").partition("+")[0]
    except PackageNotFoundError:
        return None


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
