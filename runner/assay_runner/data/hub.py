"""Datasets of the hub, through the `datasets` library, with its failures told in a sentence each.

No code of a dataset is ever run: the library refuses loading scripts, and so does this module, in words that say
what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay_api.errors import AssayError, Failed
from assay_runner.data.spec import DatasetSpec

_REVISION = re.compile(r"@([0-9a-f]{40})/")


def load_hub(spec: DatasetSpec, chosen: dict[str, Any], datasets: Any) -> tuple[Any, str]:
    """The split as a `datasets.Dataset` (media undecoded in its tables), and its source with the revision when that
    is known.

    Raises:
        SpecError: no such dataset, part or split, or it needs code of its own.
        Failed: the hub cannot be reached and nothing is in the cache.
    """
    arguments = dict(chosen)
    if "data_files" in arguments:
        arguments["data_files"] = _absolute(arguments["data_files"], spec.base)
    try:
        dataset = datasets.load_dataset(spec.path, spec.name, split=spec.split, **arguments)
    except (OSError, ValueError, RuntimeError, TypeError, datasets.exceptions.DatasetsError) as error:
        raise _explained(error, spec, datasets) from error
    return dataset, _source(dataset, spec, arguments)


def cache_folders(datasets: Any) -> tuple[Path, ...]:
    """Where the library keeps what it downloaded: media it refers to by path lie there."""
    from huggingface_hub.constants import HF_HUB_CACHE

    config = datasets.config
    return Path(config.HF_CACHE_HOME), Path(config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE)


def _absolute(data_files: Any, folder: Path) -> Any:
    if isinstance(data_files, dict):
        return {split: _absolute(named, folder) for split, named in data_files.items()}
    if isinstance(data_files, (list, tuple)):
        return [_absolute(named, folder) for named in data_files]
    return data_files if "://" in data_files else str(folder / data_files)


def _source(dataset: Any, spec: DatasetSpec, arguments: dict[str, Any]) -> str:
    urls = dataset.info.download_checksums or {}
    revisions = {found[1] for url in urls if (found := _REVISION.search(str(url)))}
    revision = revisions.pop() if len(revisions) == 1 else arguments.get("revision")
    part = f"/{spec.name}" if spec.name else ""
    return f"{spec.path}{part}{f'@{revision}' if revision else ''} [{spec.split}]"


def _explained(error: Exception, spec: DatasetSpec, datasets: Any) -> AssayError:
    text = str(error)
    reason = text.partition("\n")[0]
    chain = " ".join(type(link).__name__ for link in _chain(error))
    if "BuilderConfig" in text and "not found" in text:
        return spec.error("dataset_name", f"{spec.path} has no part {spec.name!r}", f"its parts are: {_listed(text)}")
    if "Config name is missing" in text:
        return spec.error(
            "dataset_name", f"{spec.path} has several parts, and none is named", f"name one of: {_listed(text)}"
        )
    if text.startswith("Unknown split"):
        return spec.no_split(sorted(re.findall(r"'([^']+)'", _listed(text))) or [_listed(text)])
    if "script" in text and "supported" in text:
        return spec.error(
            "dataset_path",
            f"{spec.path} is loaded by Python code of its own, which Assay does not run",
            "use its Parquet files: dataset_kwargs: {revision: refs/convert/parquet}",
        )
    if "gated" in text:
        return spec.error("dataset_path", f"{spec.path} is gated", "accept its terms on the hub and set HF_TOKEN")
    if isinstance(error, datasets.exceptions.DatasetNotFoundError) and not _network(chain, text):
        return spec.error(
            "dataset_path",
            f"there is no dataset {spec.path} here or on the hub",
            "correct it; private ones need HF_TOKEN",
        )
    if _network(chain, text):
        return Failed(
            f"The hub cannot be reached for dataset {spec.path}, and it is not in the local cache ({reason}); "
            "plan where there is a network, or give a local path as dataset_path."
        )
    return spec.error(
        "dataset_path",
        f"{spec.path} cannot be loaded ({type(error).__name__}: {reason})",
        "check path, name and options",
    )


def _network(chain: str, text: str) -> bool:
    signs = (
        "ConnectionError",
        "ConnectError",
        "OfflineMode",
        "Timeout",
        "MaxRetryError",
        "LocalEntryNotFound",
        "ProxyError",
    )
    return any(sign in chain for sign in signs) or "offline" in text.lower() or "Couldn't reach" in text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _listed(text: str) -> str:
    found = re.search(r"\[([^\]]*)\]", text)
    return found[1] if found else "unknown"
