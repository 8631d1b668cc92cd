"""A small stand-in for the `lmms_eval` package (and for loguru), so that task folders written for it find their helpers.

Only task code sees it, only while it runs, and only what is really installed is never replaced. What it holds is written
anew for Assay; the names and what they compute are lmms-eval's. docs/tasks.md lists it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType

_HERE = __name__
_FILTERS = {"Filter": "filters", "RegexFilter": "filters", "MultiChoiceRegexFilter": "filters"} | {
    "ExtendedRegexFilter": "filters", "WhitespaceFilter": "filters"
}  # fmt: skip
_CHANGES = {"LowercaseFilter": "filters", "UppercaseFilter": "filters", "MapFilter": "filters"}
_CHOSEN = {"TakeFirstFilter": "filters", "TakeKFilter": "filters", "MajorityVoteFilter": "filters"}

_MODULES: Mapping[str, Mapping[str, str]] = {
    "loguru": {"logger": "logger"},
    "lmms_eval": {},
    "lmms_eval.utils": {"eval_logger": "logger", "sanitize_model_name": "files"},
    "lmms_eval.api": {},
    "lmms_eval.api.metrics": {"levenshtein_distance": "texts", "anls": "texts", "mean": "texts"},
    "lmms_eval.api.filter": {"Filter": "filters"},
    "lmms_eval.filters": {"Filter": "filters"},
    "lmms_eval.filters.extraction": _FILTERS,
    "lmms_eval.filters.transformation": _CHANGES,
    "lmms_eval.filters.selection": _CHOSEN,
    "lmms_eval.tasks": {},
    "lmms_eval.tasks._task_utils": {},
    "lmms_eval.tasks._task_utils.file_utils": {"generate_submission_file": "files"},
    "lmms_eval.tasks._task_utils.mcq_extract": {"extract_mcq_answer": "texts"},
    "lmms_eval.tasks._task_utils.default_template_yaml": {"load_default_template_yaml": "files"},
    "lmms_eval.tasks._task_utils.vqa_eval_metric": {"EvalAIAnswerProcessor": "vqa"},
}
"""Module → its names, each with the module of this package that has it."""

_PACKAGES = {name.rpartition(".")[0] for name in _MODULES}


@cache
def served() -> frozenset[str]:
    """Top-level packages that are stood in for: those that are not installed."""
    return frozenset(name for name in ("lmms_eval", "loguru") if not _installed(name))


def knows(name: str) -> bool:
    """Whether there is a stand-in for the module."""
    return name in _MODULES


def spec_of(name: str) -> ModuleSpec | None:
    """How the stand-in for a module is made; None when there is none."""
    if name not in _MODULES:
        return None
    return ModuleSpec(name, _Loader(), is_package=name in _PACKAGES)


class _Loader(Loader):
    """Fills a module from the table."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As importlib asks."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """As importlib asks."""
        for name, source in _MODULES[module.__name__].items():
            setattr(module, name, getattr(importlib.import_module(f"{_HERE}.{source}"), name))


def _installed(name: str) -> bool:
    if name in sys.modules:
        return True
    finders = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("assay_runner.")]
    return any(finder.find_spec(name, None) is not None for finder in finders if hasattr(finder, "find_spec"))
