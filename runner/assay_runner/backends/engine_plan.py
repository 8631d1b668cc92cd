"""What is pinned of a model that an engine with a scheduler of its own runs, and whether a machine has what the plan pins:
the part that vLLM and SGLang have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from assay_api.errors import SpecError, Unfit
from assay_runner.backends.arguments import MANIFEST, Argument, check, one_of
from assay_runner.backends.base import Description, ModelContext
from assay_runner.backends.engine_backend import BATCH
from assay_runner.backends.engine_prompts import takes_media
from assay_runner.backends.media_arguments import VIDEO, video_pins
from assay_runner.backends.source import Source, broken, locate, planned_source, refuse_others
from assay_runner.backends.transformers_plan import environment
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model

LONGEST = 1 << 30


def is_size(value: Any) -> bool:
    """Whether `value` is a whole number from 1, of tokens or requests."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST


def is_share(value: Any) -> bool:
    """Whether `value` is a number above 0 and up to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def is_name(value: Any) -> bool:
    """Whether `value` is a name of something in an engine: a short text without spaces at its ends."""
    return isinstance(value, str) and 0 < len(value) <= 100 and value == value.strip()


SIZE = Argument("a whole number from 1", is_size)
SHARE = Argument("a number above 0 and up to 1", is_share)
NAME = Argument("a name that the engine knows", is_name)
GPU = Argument("the name of a GPU, as nvidia-smi gives it", is_name)
DTYPE = one_of("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine, as far as a plan is concerned."""

    name: str
    distributions: tuple[str, ...]
    """What it is installed as; the first that is found counts."""
    known: Mapping[str, Argument]
    pinned: Mapping[str, Any]
    """Arguments that can move bits, with what they are when they are not given; None is left to the engine."""
    invariant: str
    """The argument that makes answers independent of what shares a batch."""

    @property
    def release(self) -> str:
        """The release that is installed.

        Raises:
            SpecError: none is.
        """
        for distribution in self.distributions:
            try:
                return version(distribution)
            except PackageNotFoundError:
                continue
        problem, remedy = f"{self.name} is not installed", f"run: pip install 'assay[{self.name}]'"
        raise SpecError(MANIFEST, "spec.model.backend", problem, remedy)


def describe_engine(kind: EngineKind, model: Model, device: str, cores: int, cache: ModelCache | None) -> Description:
    """What is pinned of the model; its configuration is read, its weights are only hashed, no engine is imported.

    Raises:
        SpecError: an argument is wrong, or there is no such model.
        Failed: the hub or the store cannot be reached.
    """
    args = model.args
    check(kind.name, args, {**kind.known, **VIDEO})
    exact = bool(args.get(kind.invariant, False))
    if exact and (device != "cuda" or "gpu" not in args):
        problem = "the same bits are promised on one model of GPU alone, and none is named"
        remedy = "add args.gpu, as nvidia-smi names it" if device == "cuda" else "remove it: it needs GPUs"
        raise SpecError(MANIFEST, f"spec.model.args.{kind.invariant}", problem, remedy)
    source = locate(model.name, model.revision, cores, cache)
    media = _media(source, trusted=bool(args.get("trust_remote_code", False)))
    chosen = {name: args.get(name, default) for name, default in kind.pinned.items()}
    pins = {
        kind.name: kind.release,
        **environment(device),
        **({"dtype": "float32" if device == "cpu" else "bfloat16"}),
        **{name: value for name, value in chosen.items() if value is not None},
        "weights": source.pin,
        **(video_pins(args) if media else _without_video(args)),
    }
    return Description(
        pins=pins,
        batch_size=BATCH,
        determinism="exact" if exact else "best-effort",
        loglikelihood=True,
        media=media,
    )


def verify_engine(kind: EngineKind, context: ModelContext) -> Source:
    """Where the planned model is here, once everything the plan pins has been found as pinned.

    Raises:
        Unfit: this machine is not of the planned kind; the first pin that does not hold here is named.
        SpecError: the model is not the planned one.
        Failed: the hub or the store cannot be reached.
    """
    pins = context.pins
    device = str(pins["device"])
    if device == "cuda" and not _has_cuda():
        raise Unfit(broken("device", "cuda", "no CUDA device", "give workers a GPU"))
    refuse_others(pins, {kind.name: kind.release, **environment(device)})
    if "gpu" in pins:
        refuse_others(pins, {"gpu": _gpu()})
    return planned_source(context)


def _media(source: Source, *, trusted: bool) -> frozenset[str]:
    """Kinds of media that may be sent. A model that takes some may still refuse others, request by request: which, only
    the engine knows."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.name, revision=source.commit, trust_remote_code=trusted)
    except (ValueError, OSError, KeyError):
        # Engines know models that transformers does not.
        return frozenset({"image", "audio", "video"})
    return frozenset({"image", "audio", "video"}) if takes_media(config) else frozenset()


def _without_video(args: Mapping[str, Any]) -> dict[str, Any]:
    for name in VIDEO:
        if name in args:
            problem, remedy = "the model takes no videos", "remove it"
            raise SpecError(MANIFEST, f"spec.model.args.{name}", problem, remedy)
    return {}


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _gpu() -> str:
    """The first GPU's name. Asked of the driver: a process that opens CUDA holds memory on the GPU from then on."""
    import pynvml

    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
    finally:
        pynvml.nvmlShutdown()
