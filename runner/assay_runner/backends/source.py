"""Where a model that runs on this machine is read from, and its weights by content: what a plan pins of them, and whether a
worker has what was pinned."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay_api.base import canonical, sha256
from assay_api.errors import SpecError, Unfit
from assay_runner.backends.arguments import MANIFEST
from assay_runner.backends.base import ModelContext
from assay_runner.models.cache import ModelCache
from assay_runner.models.files import is_model_file
from assay_runner.models.hub import hub_commit, hub_snapshot

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is read from: a folder, or a hub id with its commit. `pin` is what the plan says of the weights."""

    name: str
    commit: str | None
    pin: str


def locate(name: str, revision: str | None, cores: int, cache: ModelCache | None) -> Source:
    """Find a model by folder, hub id or address in object storage, and pin its weights. One in object storage is brought
    into the cache first, and pinned as a folder is: by content.

    Raises:
        SpecError: there is none, it has no safetensors, or the address is of a kind that is not read.
        Failed: the hub or the store cannot be reached.
    """
    if name.startswith("s3://") and cache is not None:
        folder = _from_objects(name, cache.folder)
        return Source(str(folder), None, f"sha256:{folder_digest(folder, cores)}")
    if "://" in name:
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"models are not read from {name}",
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


def planned_source(context: ModelContext) -> Source:
    """Where the planned model is here.

    Raises:
        SpecError: its weights are not the planned ones.
        Failed: the hub or the store cannot be reached.
    """
    planned = str(context.pins.get("weights", ""))
    revision = planned.removeprefix("commit:") if planned.startswith("commit:") else context.revision
    source = locate(context.name, revision, context.cores, context.cache)
    if source.pin != planned:
        problem = f"the run was planned with {planned}, here is {source.pin}"
        remedy = "give the worker the planned model, or plan anew"
        raise SpecError("plan.json", "model.pins.weights", problem, remedy)
    return source


def refuse_others(pins: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Compare what a plan pins with what this machine has.

    Raises:
        Unfit: the first that is not as pinned is named.
    """
    for name, value in here.items():
        if pins.get(name) != value:
            remedy = "run the workers on what the run was planned for, or plan anew"
            raise Unfit(broken(name, pins.get(name), value, remedy))


def broken(name: str, planned: object, here: object, remedy: str) -> str:
    """The sentence that says that a pin does not hold here."""
    return f"plan.json: model.pins.{name}: the run was planned with {planned}, here is {here}; {remedy}."


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
