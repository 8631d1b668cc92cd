"""Keeps one document from reaching another through a task's module-level variables.

After a module is loaded its plain variables are noted: numbers, texts, containers of such, random generators. After every
call those that changed are put back, and new plain ones are removed. What became something else than plain data (a loaded
model, a connection) is left alone: it is a resource that the task keeps, not a result.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

_LARGEST = 5_000
"""Entries of a container, nested ones counted; larger tables are not watched."""
_DEEPEST = 20
_SCALARS = (str, bytes, int, float, complex, bool, type(None))


class ModuleState:
    """The plain variables of some modules, as they were when each module was first seen."""

    def __init__(self) -> None:
        self._modules: dict[int, tuple[ModuleType, frozenset[str], list[tuple[str, _Kept]]]] = {}

    def watch(self, modules: Iterable[ModuleType]) -> None:
        """Note the variables of modules that were not noted yet."""
        for module in modules:
            if id(module) not in self._modules:
                found = {name: value for name, value in vars(module).items() if not name.startswith("__")}
                kept = [(name, kept) for name, value in found.items() if (kept := _keep(value)) is not None]
                self._modules[id(module)] = (module, frozenset(vars(module)), kept)

    def restore(self) -> None:
        """Put back what has changed since."""
        for module, names, kept in self._modules.values():
            variables = vars(module)
            for name, one in kept:
                current = variables.get(name, _GONE)
                if current is one.value:
                    one.restore()
                elif current is _GONE or size_of_plain(current) is not None:
                    one.restore()
                    variables[name] = one.value
            for name in variables.keys() - names:
                if size_of_plain(variables[name]) is not None:
                    del variables[name]


class _Kept(Protocol):
    """One variable's object with what it was."""

    value: Any

    def restore(self) -> None: ...


_GONE = object()


@dataclass(slots=True)
class _Scalar:
    value: Any

    def restore(self) -> None:
        return


@dataclass(slots=True)
class _Container:
    value: Any
    content: Any

    def restore(self) -> None:
        if self.value == self.content or size_of_plain(self.value) is None:
            return
        # The same object is refilled: functions may hold it as a default, or other modules by name.
        self.value.clear()
        (self.value.update if isinstance(self.value, dict | set) else self.value.extend)(copy.deepcopy(self.content))


@dataclass(slots=True)
class _Random:
    value: random.Random
    state: Any

    def restore(self) -> None:
        self.value.setstate(self.state)


@dataclass(slots=True)
class _NumpyRandom:
    value: Any
    bits: Any
    state: Any

    def restore(self) -> None:
        self.bits.state = copy.deepcopy(self.state)


def _keep(value: Any) -> _Kept | None:
    if isinstance(value, _SCALARS):
        return _Scalar(value)
    if isinstance(value, random.Random):
        return _Random(value, value.getstate())
    if type(value).__module__.startswith("numpy.random"):
        bits = getattr(value, "bit_generator", None) or getattr(value, "_bit_generator", None)
        return _NumpyRandom(value, bits, copy.deepcopy(bits.state)) if bits is not None else None
    if isinstance(value, list | dict | set | deque):
        size = size_of_plain(value)
        if size is not None and size <= _LARGEST:
            return _Container(value, copy.deepcopy(value))
    return None


def size_of_plain(value: Any, depth: int = 0) -> int | None:
    """How many entries plain data have, nested ones counted; None when it holds anything else."""
    if isinstance(value, _SCALARS):
        return 1
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        parts: list[Any] = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        parts = list(value)
    else:
        return None
    total = 1
    for part in parts:
        size = size_of_plain(part, depth + 1)
        if size is None:
            return None
        total += size
    return total
