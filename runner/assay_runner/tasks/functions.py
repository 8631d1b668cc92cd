"""Runs a task's own Python: loaded once, kept apart from other tasks' modules, seeded per document, unable to end a run.

While a task's code is active its folder comes first in the search for modules, and the modules found there are visible
under their own names; afterwards they are put away again. So two tasks may both have a `utils.py`, and sibling imports
work. All task code of a process runs under one lock.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

from assay_api.errors import SpecError
from assay_runner.tasks.errors import TaskError

_LOCK = threading.RLock()
_UPSTREAM = "lmms_eval.tasks."


class TaskCode:
    """The Python of one task folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, ModuleType] = {}
        found = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
        # A task file that is called like a module of the standard library must not stand in for it.
        self._own = found - sys.stdlib_module_names

    def find(self, name: str) -> Any:
        """The function or class `module.name`, from the folder first, then from what is installed.

        Raises:
            SpecError: there is no such module or name, or the module cannot be loaded.
        """
        module_name, _, attribute = name.rpartition(".")
        with self.active():
            try:
                module = importlib.import_module(module_name)
            # Whatever a task's module raises while it is loaded, the answer is a sentence that names it.
            except (Exception, SystemExit) as error:
                where = f"{module_name.replace('.', '/')}.py"
                raise SpecError(
                    f"{self._folder.name}/{where}", name, f"the module cannot be loaded ({type(error).__name__}: {error})",
                    "correct the task's Python",
                ) from error
        if not hasattr(module, attribute):
            known = ", ".join(sorted(known for known in vars(module) if not known.startswith("_"))[:10])
            raise SpecError(
                f"{self._folder.name}/{module_name}.py", name, f"the module has no {attribute}", f"it has {known}"
            )
        return getattr(module, attribute)

    def call(self, hook: str, function: Callable[..., Any], arguments: Sequence[Any], seed: int) -> Any:
        """Call `function` with fresh random generators; `hook` names it in errors.

        Raises:
            TaskError: it raised, or tried to end the process.
        """
        with self.active():
            random.seed(seed)
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed(seed)
            try:
                return function(*arguments)
            except TaskError:
                raise
            except (Exception, SystemExit) as error:
                raise TaskError("TaskError", f"{hook} raised {type(error).__name__}: {error}") from error

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the folder's modules importable, and put them away afterwards."""
        with _LOCK:
            outer = _Finder.active
            hidden = {name: sys.modules.pop(name) for name in {*self._own, *self._modules} if name in sys.modules}
            sys.modules.update(self._modules)
            _Finder.active = self
            if _FINDER not in sys.meta_path:
                sys.meta_path.insert(0, _FINDER)
            try:
                yield
            finally:
                for name in list(self._modules):
                    self._modules[name] = sys.modules.pop(name, self._modules[name])
                sys.modules.update(hidden)
                _Finder.active = outer

    def spec_of(self, name: str) -> ModuleSpec | None:
        """Where the folder holds the module, if it does."""
        # Upstream's tasks import their own files by the name of their folder, which is not kept here.
        local = name.removeprefix(_UPSTREAM).partition(".")[2] if name.startswith(_UPSTREAM) else name
        if local.partition(".")[0] not in self._own:
            return None
        base = self._folder.joinpath(*local.split("."))
        for path, package in ((base.with_suffix(".py"), None), (base / "__init__.py", [str(base)])):
            if path.is_file():
                spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=package)
                if spec is not None:
                    # Recorded before it is run, so that it is put away whatever happens.
                    self._modules.setdefault(name, ModuleType(name))
                return spec
        return None


class _Finder:
    """Looks for modules in the folder of the task whose code is running."""

    active: TaskCode | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As importlib asks."""
        return _Finder.active.spec_of(name) if _Finder.active else None


_FINDER: Any = _Finder()


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` can be called with `count` positional arguments."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [each for each in parameters if each.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= count or any(each.kind is Parameter.VAR_POSITIONAL for each in parameters)


def requires(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` cannot be called with fewer than `count` positional arguments."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is Parameter.empty for each in parameters) >= count


def names_of(function: Callable[..., Any]) -> set[str]:
    """Names of the function's parameters."""
    try:
        return set(signature(function).parameters)
    except (TypeError, ValueError):
        return set()
