"""The folder for models that a command uses: what `--cache` names, else the user's cache folder."""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping
from pathlib import Path

from assay_runner.models.cache import ModelCache


def model_cache(options: argparse.Namespace, environ: MutableMapping[str, str]) -> ModelCache:
    """The cache of this command. To be called before anything imports the hub's client, which reads HF_HUB_CACHE once."""
    given = getattr(options, "cache", None)
    if given:
        cache = ModelCache(Path(given).absolute(), hub=True)
        # Not HF_HOME, which would take the login and the caches of processed datasets along.
        environ["HF_HUB_CACHE"] = str(cache.hub_folder)
        return cache
    return ModelCache(Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "assay")
