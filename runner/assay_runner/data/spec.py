"""What a task says about its dataset, and the sentences in which it is told that this does not work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay_api.errors import SpecError


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One split of a dataset, as a task names it.

    `path`, `name` and `kwargs` are the task's `dataset_path`, `dataset_name` and `dataset_kwargs`; `media` maps a
    column to the Jinja template of its file's path, relative to the dataset's root, or of its address; `media_from`
    holds what addresses in the data must begin with; `folder` holds the task file, and is what relative paths are meant
    from.
    """

    path: str
    name: str | None
    split: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    media: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    media_from: tuple[str, ...] = ()

    @property
    def base(self) -> Path:
        """The absolute folder that relative paths are meant from; `folder` may name the task file itself."""
        folder = self.folder.absolute()
        return folder.parent if folder.is_file() else folder

    def error(self, about: str, problem: str, remedy: str) -> SpecError:
        """The error that names the task's field `about`."""
        return SpecError(str(self.folder), about, problem, remedy)

    def no_split(self, known: list[str]) -> SpecError:
        """The error for a split that the dataset does not have."""
        there = f"its splits are: {', '.join(known)}" if known else "it has no files of a known format"
        return self.error("dataset_path", f"{self.path} has no split {self.split!r}", there)


# Fields that lmms-eval and lm-evaluation-harness put into dataset_kwargs and that cannot change a document here.
_WITHOUT_EFFECT = frozenset(
    {
        "trust_remote_code", "cache_dir", "force_download", "local_files_only", "create_link", "force_unzip",
        "download_mode", "num_proc", "keep_in_memory", "verification_mode",
    }
)  # fmt: skip
_LOCAL = frozenset({"data_files", "data_dir", "field", "columns", "column_names", "sep", "delimiter", "revision"})


def options(spec: DatasetSpec) -> dict[str, Any]:
    """`dataset_kwargs` without what has no effect.

    Raises:
        SpecError: a token is written in the task, or archives with videos would have to be unpacked.
    """
    if isinstance(spec.kwargs.get("token"), str):
        raise spec.error(
            "dataset_kwargs.token", "a task file is no place for a token", "set HF_TOKEN where the run is planned"
        )
    for key in ("video", "From_YouTube"):
        if spec.kwargs.get(key):
            raise spec.error(
                f"dataset_kwargs.{key}",
                "Assay does not download and unpack archives of videos",
                "unpack them into a folder with the documents and name the files with media: {video: path}",
            )
    dropped = _WITHOUT_EFFECT | {"token", "video", "From_YouTube"}
    return {key: value for key, value in spec.kwargs.items() if key not in dropped}


def local_options(spec: DatasetSpec) -> dict[str, Any]:
    """`options` for files, where every key must be known.

    Raises:
        SpecError: a key is unknown.
    """
    chosen = options(spec)
    for key in chosen:
        if key not in _LOCAL:
            raise spec.error(
                f"dataset_kwargs.{key}", "files take no such option", f"known options are: {', '.join(sorted(_LOCAL))}"
            )
    return chosen
