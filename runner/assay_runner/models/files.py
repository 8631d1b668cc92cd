"""Which files make up a model: weights, configuration, tokenizer, templates and code. Only these are fetched and pinned."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt", ".py", ".tiktoken")


def is_model_file(path: PurePath) -> bool:
    """Whether the file at `path`, relative to the model's folder, is part of the model."""
    return path.suffix in SUFFIXES and not any(part.startswith(".") for part in path.parts)
