"""Reads task files: YAML with `!function` and `include`, without running anything that is in them.

The format is that of lmms-eval and lm-evaluation-harness. A function stays a name with the folder it is meant from, so
that listing tasks is safe; it is looked up only when the task is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assay_api.errors import SpecError

_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function (or class) of a task's Python: `module.name`, looked up in `folder` first, then as an import."""

    name: str
    folder: str
    """Path of the folder; in a plan, its place in the bundle of task files."""


IncludeNamed = Callable[[str], Path | None]
"""Finds the file of a shipped task by its name, for `include: piqa`."""


def _no_names(name: str) -> Path | None:
    return None


def read_task_file(path: Path, named: IncludeNamed = _no_names) -> dict[str, Any]:
    """The mapping in a task file with its includes merged: later files win over earlier, the file over its includes.

    Raises:
        SpecError: a file cannot be read, is no YAML mapping, or includes itself.
    """
    path = path.resolve()
    return _merge(read_plain(path), path, named, (path,))


def merge_includes(data: Mapping[str, Any], path: Path, named: IncludeNamed) -> dict[str, Any]:
    """`data`, which stands in the file `path`, with what its `include` names; its own fields win.

    Raises:
        SpecError: an included file cannot be read, is no YAML mapping, or includes itself.
    """
    return _merge(data, path.resolve(), named, ())


def read_plain(path: Path) -> dict[str, Any]:
    """The mapping in a task file as it stands, includes not followed.

    Raises:
        SpecError: the file cannot be read or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(str(path), "", f"the task file cannot be read ({reason})", "name an existing file") from error
    try:
        loaded = yaml.load(text, _loader(path.parent))  # noqa: S506 - a SafeLoader with two more tags
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise SpecError(str(path), place, f"this is no valid YAML ({problem})", "correct the syntax") from error
    except ValueError as error:
        raise SpecError(str(path), "", f"a value cannot be read ({error})", "put it in quotation marks") from error
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise SpecError(str(path), "", "the task file is no mapping", "write `task: NAME` and its fields")
    return loaded


def _merge(data: Mapping[str, Any], path: Path, named: IncludeNamed, open_files: tuple[Path, ...]) -> dict[str, Any]:
    own = dict(data)
    includes = own.pop("include", None) or []
    merged: dict[str, Any] = {}
    for entry in [includes] if isinstance(includes, str) else includes:
        other = _included(str(entry), path, named).resolve()
        if other in open_files:
            chain = " → ".join(file.name for file in (*open_files, other))
            raise SpecError(str(path), "include", f"the file includes itself ({chain})", "remove one of the includes")
        merged |= _merge(read_plain(other), other, named, (*open_files, other))
    return merged | own


def _included(entry: str, path: Path, named: IncludeNamed) -> Path:
    beside = path.parent / entry
    if beside.is_file():
        return beside
    shipped = named(entry)
    if shipped is None:
        raise SpecError(
            str(path),
            "include",
            f"there is neither a file {entry!r} beside it nor a shipped task of that name",
            "correct the path",
        )
    return shipped


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    class Loader(_Base):  # type: ignore[misc, valid-type]
        """A SafeLoader that keeps functions as names and reads tuples as lists."""

    def function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> FunctionRef:
        return FunctionRef(str(loader.construct_scalar(node)), str(folder))

    def sequence(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
        return loader.construct_sequence(node, deep=True)

    Loader.add_constructor("!function", function)
    Loader.add_constructor("tag:yaml.org,2002:python/tuple", sequence)
    return Loader
