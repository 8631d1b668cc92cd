"""What is pinned of a model that runs in this process, and whether a machine has what the plan pins.

Everything that can move the low bits of a number is pinned: versions, device kind and instruction set, dtype,
threads, batch size, attention, and the weights themselves by content. A worker compares what it has with the plan
before it loads anything."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay_api.base import canonical, sha256
from assay_api.errors import SpecError, Unfit
from assay_runner.backends.arguments import MANIFEST, Argument, check, is_count, is_switch, one_of
from assay_runner.backends.base import Description, ModelContext
from assay_runner.models.cache import ModelCache
from assay_runner.models.files import is_model_file
from assay_runner.models.hub import hub_commit, hub_snapshot

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
_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_CPUINFO = Path("/proc/cpuinfo")

ModelKind = Literal["text", "image-text"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is read from: a folder, or a hub id with its commit. `pin` is what the plan says of the weights."""

    name: str
    commit: str | None
    pin: str


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
        raise Unfit(_broken("device", "cuda", "no CUDA device", "give workers a GPU, or plan with args.device: cpu"))
    for name, here in environment(str(pins.get("device", "cpu"))).items():
        if pins.get(name) != here:
            remedy = "run the workers on what the run was planned for, or plan anew"
            raise Unfit(_broken(name, pins.get(name), here, remedy))
    planned = str(pins.get("weights", ""))
    revision = planned.removeprefix("commit:") if planned.startswith("commit:") else context.revision
    source = locate(context.name, revision, context.cores, context.cache)
    if source.pin != planned:
        problem = f"the run was planned with {planned}, here is {source.pin}"
        remedy = "give the worker the planned model, or plan anew"
        raise SpecError("plan.json", "model.pins.weights", problem, remedy)
    return source


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


def locate(name: str, revision: str | None, cores: int, cache: ModelCache | None) -> Source:
    """Find a model by folder, hub id or address in object storage, and pin its weights. One in object storage is brought
    into the cache first, and pinned as a folder is: by content.

    Raises:
        SpecError: there is none, it has no safetensors, or the address is of a kind this backend does not read.
        Failed: the hub or the store cannot be reached.
    """
    if name.startswith("s3://") and cache is not None:
        folder = _from_objects(name, cache.folder)
        return Source(str(folder), None, f"sha256:{folder_digest(folder, cores)}")
    if "://" in name:
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"backend transformers does not read {name}",
            "give a folder, a hub id or s3://bucket/prefix",
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Source(str(folder), None, f"sha256:{folder_digest(folder, cores)}")
    if not _HUB_ID.fullmatch(name):
        raise SpecError(MANIFEST, "spec.model.name", f"there is no folder {name}", "give a model's folder or a hub id")
    commit = hub_commit(name, revision)
    if cache is not None and cache.hub:
        return Source(str(hub_snapshot(name, commit)), None, f"commit:{commit}")
    return Source(name, commit, f"commit:{commit}")


def _from_objects(uri: str, cache: Path) -> Path:
    # Models in folders and on the hub need no S3 client.
    from assay_runner.models.objects import fetch_model

    return fetch_model(uri, cache)


def folder_digest(folder: Path, cores: int) -> str:
    """SHA-256 over the names and SHA-256 of all files that make up a model: weights, configuration, tokenizer,
    templates and code. Every byte counts; about a second per 300 MB and core.

    Raises:
        SpecError: no config.json or no safetensors.
    """
    files = sorted(path for path in folder.rglob("*") if is_model_file(path.relative_to(folder)) and path.is_file())
    if not (folder / "config.json").is_file():
        raise SpecError(MANIFEST, "spec.model.name", f"{folder} holds no config.json", "give a model's folder")
    if not any(path.suffix == ".safetensors" for path in files):
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"{folder} holds no .safetensors file, and other formats can run code when they are read",
            "save the model as safetensors",
        )
    with ThreadPoolExecutor(max_workers=max(1, cores)) as pool:
        digests = list(pool.map(_file_digest, files))
    named = {path.relative_to(folder).as_posix(): digest for path, digest in zip(files, digests, strict=True)}
    return sha256(canonical(named))


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


def _broken(name: str, planned: object, here: object, remedy: str) -> str:
    return f"plan.json: model.pins.{name}: the run was planned with {planned}, here is {here}; {remedy}."


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


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
