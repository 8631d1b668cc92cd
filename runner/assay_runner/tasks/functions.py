"""Runs a task's own Python: loaded once, apart from other tasks' modules, seeded per document, unable to end a run.

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
from functools import lru_cache
from importlib.machinery import ModuleSpec
from inspect import Parameter, signature
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from assay_api.errors import AssayError, SpecError
from assay_runner.tasks import compat
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.module_state import ModuleState

_LOCK = threading.RLock()
_LONGEST = 400
"""Characters of a message of task code that are kept."""


class TaskCode:
    """The Python of one task folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, ModuleType] = {}
        self._found: set[str] = set()
        self._state = ModuleState()
        files = {path.stem for path in folder.glob("*.py")}
        packages = {path.name for path in folder.glob("*/") if any(path.glob("*.py"))}
        # A task file that is called like a module of the standard library must not stand in for it.
        named = {name for name in files | packages if name.isidentifier()}
        self._own, self._shadowed = named - sys.stdlib_module_names, named & sys.stdlib_module_names

    def find(self, name: str) -> Any:
        """The function or class `module.name`, from the folder first, then from what is installed.

        Raises:
            SpecError: there is no such module or name, or the module cannot be loaded.
        """
        module_name, _, attribute = name.rpartition(".")
        if not module_name:
            raise SpecError(
                name, "", "the function names no module", "write !function module.name, such as utils.score"
            )
        top = module_name.partition(".")[0]
        if top in self._shadowed:
            problem = f"the folder's {top} is called like a module of Python itself, which would be taken instead"
            raise SpecError(name, "", problem, "give the file another name")
        where = f"{module_name.replace('.', '/')}.py"
        with self.active(), generators_kept():
            _Generators.seed(0)
            try:
                module = importlib.import_module(module_name)
            # Whatever a task's module raises while it is loaded, the answer is a sentence that names it.
            except BaseException as error:
                if _interrupted(error):
                    raise
                problem = f"the module cannot be loaded ({self._told(error)})"
                raise SpecError(where, name, problem, "correct the task's Python") from error
        if not hasattr(module, attribute):
            known = ", ".join(sorted(known for known in vars(module) if not known.startswith("_"))[:10])
            raise SpecError(where, name, f"the module has no {attribute}", f"it has {known or 'nothing'}")
        return getattr(module, attribute)

    def call(self, hook: str, function: Callable[..., Any], arguments: Sequence[Any], seed: int) -> Any:
        """Call `function` with random generators of its own; `hook` names it in errors.

        Raises:
            TaskError: it raised, or tried to end the process.
        """
        with _LOCK:
            if _Finder.active is self and _Generators.holders:
                return self._called(hook, function, arguments, seed)
            with self.active(), generators_kept():
                return self._called(hook, function, arguments, seed)

    def _called(self, hook: str, function: Callable[..., Any], arguments: Sequence[Any], seed: int) -> Any:
        _Generators.seed(seed)
        self._state.watch(self._modules.values())
        try:
            return function(*arguments)
        except (AssayError, TaskError):
            raise
        except BaseException as error:
            if _interrupted(error):
                raise
            raise TaskError("TaskError", f"{hook} raised {self._told(error)}") from error
        finally:
            # What the call changed in the variables of the task's modules is put back.
            self._state.restore()
            self._note_modules()

    def _note_modules(self) -> None:
        """What was imported meanwhile is watched from the next call on."""
        self._modules = {name: sys.modules[name] for name in self._found if name in sys.modules}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the folder's modules importable, and put them away afterwards."""
        with _LOCK:
            outer = _Finder.active
            if outer is self:
                try:
                    yield
                finally:
                    self._note_modules()
                return
            hidden = self._hide(self._own | compat.served())
            sys.modules.update(self._modules)
            _Finder.active = self
            if _FINDER not in sys.meta_path:
                sys.meta_path.insert(0, _FINDER)
            try:
                yield
            finally:
                self._modules = {name: sys.modules.pop(name) for name in self._found if name in sys.modules}
                sys.modules.update(hidden)
                _Finder.active = outer

    def spec_of(self, name: str) -> ModuleSpec | None:
        """Where the folder, or the stand-in for lmms-eval, holds the module; None when neither does."""
        top = name.partition(".")[0]
        spec = None
        if top in self._own:
            spec = _spec(name, self._folder.joinpath(*name.split(".")))
        elif top in compat.served():
            spec = self._upstream(name) or compat.spec_of(name)
        if spec is not None:
            self._found.add(name)
        return spec

    def _upstream(self, name: str) -> ModuleSpec | None:
        """`lmms_eval.tasks.<folder>.<module>` is the module of this folder, whatever the folder is called here."""
        parts = name.split(".")
        if parts[:2] != ["lmms_eval", "tasks"] or len(parts) < 3 or compat.knows(".".join(parts[:3])):
            return None
        below = self._folder.joinpath(*parts[2:])
        if len(parts) == 3:
            return _spec(name, below) or ModuleSpec(name, None, is_package=True)
        return _spec(name, below) or _spec(name, self._folder.joinpath(*parts[3:]))

    @staticmethod
    def _hide(names: set[str]) -> dict[str, ModuleType]:
        tops = {name for name in names if name in sys.modules}
        if not tops:
            return {}
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}

    def _told(self, error: BaseException) -> str:
        """The error with the place in the task's files where it was raised."""
        place = ""
        for frame, line in walk_tb(error.__traceback__):
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(self._folder):
                place = f" (in {file.relative_to(self._folder)}, line {line})"
        message = str(error)
        message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
        return f"{type(error).__name__}: {message}{place}"


class _Finder:
    """Looks for modules in the folder of the task whose code is running."""

    active: TaskCode | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As importlib asks."""
        return _Finder.active.spec_of(name) if _Finder.active else None


_FINDER: Any = _Finder()


def _spec(name: str, base: Path) -> ModuleSpec | None:
    for path, package in ((base / "__init__.py", [str(base)]), (base.with_suffix(".py"), None)):
        if path.is_file():
            return importlib.util.spec_from_file_location(name, path, submodule_search_locations=package)
    if base.is_dir() and any(base.glob("*.py")):
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(base)]
        return spec
    return None


def _interrupted(error: BaseException) -> bool:
    """Ctrl-C reaches the main thread alone; what looks like it elsewhere, task code raised itself."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


class _Generators:
    """The state of `random` and numpy before task code drew from them; under the lock of task code."""

    holders = 0
    before: tuple[Any, Any] | None = None

    @classmethod
    def seed(cls, seed: int) -> None:
        import numpy.random  # before any call: a function that imports it first would draw unseeded numbers

        if cls.before is None:
            cls.before = random.getstate(), numpy.random.get_state()
        random.seed(seed)
        numpy.random.seed(seed)

    @classmethod
    def give_back(cls) -> None:
        if cls.before is not None:
            import numpy.random

            random.setstate(cls.before[0])
            numpy.random.set_state(cls.before[1])
            cls.before = None


@contextmanager
def generators_kept() -> Iterator[None]:
    """Give the generators of `random` and numpy back as they were, when the outermost of these ends: saving them takes
    longer than most calls of task code, so whoever makes many calls in a row does it once."""
    with _LOCK:
        _Generators.holders += 1
        try:
            yield
        finally:
            _Generators.holders -= 1
            if not _Generators.holders:
                _Generators.give_back()


@lru_cache(maxsize=1024)
def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    try:
        return tuple(signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@lru_cache(maxsize=1024)
def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` can be called with `count` positional arguments."""
    parameters = _parameters(function)
    positional = sum(each.kind in _POSITIONAL for each in parameters)
    return positional >= count or any(each.kind is Parameter.VAR_POSITIONAL for each in parameters)


@lru_cache(maxsize=1024)
def requires(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` cannot be called with fewer than `count` positional arguments."""
    needed = (each.kind in _POSITIONAL and each.default is Parameter.empty for each in _parameters(function))
    return sum(needed) >= count


@lru_cache(maxsize=1024)
def names_of(function: Callable[..., Any]) -> frozenset[str]:
    """Names of the function's parameters."""
    return frozenset(each.name for each in _parameters(function))


@lru_cache(maxsize=1024)
def keywords_of(function: Callable[..., Any]) -> frozenset[str]:
    """Names of those that can be given by name alone."""
    return frozenset(each.name for each in _parameters(function) if each.kind is Parameter.KEYWORD_ONLY)
