"""The folder for models that a command uses: what `--cache` names, else the user's cache folder."""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping
from pathlib import Path

from assay_runner.models.cache import ModelCache


def model_cache(options: argparse.Namespace, environ: MutableMapping[str, str]) -> ModelCache:
    """The cache of this command. To be called before anything imports the hub's client, which reads HF_HOME once."""
    given = getattr(options, "cache", None)
    if given:
        cache = ModelCache(Path(given).absolute(), hub=True)
        environ["HF_HOME"] = str(cache.hub_home)
        return cache
    return ModelCache(Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "assay")
