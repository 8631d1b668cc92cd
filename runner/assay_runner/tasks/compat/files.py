"""Paths and names as lmms-eval's helpers give them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from assay_runner.tasks.yaml import FunctionRef, read_plain


def generate_submission_file(file_name: str, args: Any, subpath: str = "submissions") -> str:
    """The absolute path of a file below `args.output_path`, its folder made."""
    folder = Path(getattr(args, "output_path", None) or ".") / subpath
    folder.mkdir(parents=True, exist_ok=True)
    return str((folder / file_name).absolute())


def load_default_template_yaml(task_file: str) -> dict[str, Any]:
    """The fields of `_default_template_yaml` beside `task_file` (a module's `__file__`), without functions."""
    said = read_plain(Path(task_file).parent / "_default_template_yaml")
    return {name: value for name, value in said.items() if not isinstance(value, FunctionRef)}


def sanitize_model_name(model_name: str) -> str:
    """The end of a model's path, without what file names must not have."""
    return re.sub(r"[\"<>:/\|\\?\*\[\]]+", "__", model_name.rstrip("/").rpartition("/")[2])
