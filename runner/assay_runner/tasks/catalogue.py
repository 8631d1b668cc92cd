"""Which tasks there are: indexes folders of task files and resolves names to tasks, groups and tags.

Indexing reads YAML and runs nothing. A broken file that nobody asks for stops nobody; a name that two files define is an
error as soon as it is asked for, because guessing which was meant would guess a number.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from assay_api.errors import SpecError
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.yaml import read_plain, read_task_file

SHIPPED = Path(__file__).parent / "catalog"


@dataclass(frozen=True, slots=True)
class ResolvedTask:
    """A task with its merged configuration; relative data files are meant from `folder`."""

    name: str
    config: TaskConfig
    folder: Path
    file: Path


@dataclass(frozen=True, slots=True)
class GroupDef:
    """A named set of tasks; `metrics` are the entries of its aggregate_metric_list."""

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a list of names stands for, each task once, in the order first met."""

    tasks: tuple[ResolvedTask, ...]
    groups: tuple[GroupDef, ...]


@dataclass(slots=True)
class _Resolving:
    tasks: dict[str, ResolvedTask] = field(default_factory=dict)
    groups: dict[str, GroupDef] = field(default_factory=dict)


class Catalogue:
    """The shipped tasks and those of the user's folders."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = [SHIPPED, *folders]

    def names(self) -> list[str]:
        """Tasks, groups and tags, sorted."""
        return sorted({*self._files, *self._tags})

    def describe(self) -> list[dict[str, Any]]:
        """One row per task and group for `assay tasks`: name, kind, output, dataset, description."""
        rows = []
        for name in sorted(self._files):
            file, data = self._files[name][0]
            if _is_group(data):
                members = len(data["task"]) if isinstance(data["task"], list) else 1
                rows.append({"name": name, "kind": "group", "output": "", "dataset": "", "description": f"{members} tasks"})
                continue
            try:
                merged = read_task_file(file, self._file_of)
            except SpecError as error:
                rows.append({"name": name, "kind": "broken", "output": "", "dataset": "", "description": error.problem})
                continue
            metadata = merged.get("metadata")
            about = metadata.get("description", "") if isinstance(metadata, Mapping) else ""
            dataset = " ".join(str(merged[key]) for key in ("dataset_path", "dataset_name") if merged.get(key))
            output = merged.get("output_type", "generate_until")
            rows.append({"name": name, "kind": "task", "output": output, "dataset": dataset, "description": about})
        return rows

    def resolve(self, names: Iterable[str]) -> Resolved:
        """The tasks and groups that `names` stand for.

        Raises:
            SpecError: a name is unknown or defined twice, or a task's file is wrong.
        """
        found = _Resolving()
        for name in names:
            self._resolve(name, found, ())
        return Resolved(tuple(found.tasks.values()), tuple(found.groups.values()))

    def _resolve(self, name: str, found: _Resolving, within: tuple[str, ...]) -> list[str]:
        if name in within:
            chain = " → ".join((*within, name))
            raise SpecError(name, "task", f"the group contains itself ({chain})", "remove one of the members")
        if name in self._files:
            file, data = self._entry(name)
            if _is_group(data):
                return self._resolve_group(name, file, found, (*within, name))
            self._add(name, file, {}, found)
            return [name]
        if name in self._tags:
            return [member for task in self._tags[name] for member in self._resolve(task, found, (*within, name))]
        close = difflib.get_close_matches(name, self.names(), 3, 0.5)
        wanted = f"similar names are: {', '.join(close)}" if close else "`assay tasks` lists what there is"
        broken = [f"{file.name} ({reason})" for file, reason in self._broken if file.stem == name]
        reason = f"; {broken[0]}" if broken else ""
        raise SpecError("spec.tasks", name, f"there is no such task, group or tag{reason}", wanted)

    def _resolve_group(self, name: str, file: Path, found: _Resolving, within: tuple[str, ...]) -> list[str]:
        data = read_task_file(file, self._file_of)
        members: list[str] = []
        listed = data["task"] if isinstance(data["task"], list) else [data["task"]]
        for member in listed:
            if isinstance(member, str):
                members += self._resolve(member, found, within)
            elif isinstance(member, Mapping) and isinstance(member.get("task"), str):
                members += self._inline(dict(member), file, found)
            else:
                raise SpecError(str(file), "task", f"{member!r} is no member of a group", "list names or task mappings")
        metrics = tuple(dict(entry) for entry in data.get("aggregate_metric_list") or ())
        for entry in metrics:
            if entry.get("aggregation", "mean") != "mean":
                raise SpecError(
                    str(file), "aggregate_metric_list.aggregation", f"{entry['aggregation']!r} is not known for groups", "use mean"
                )
        found.groups[name] = GroupDef(name, tuple(dict.fromkeys(members)), metrics)
        return members

    def _inline(self, member: dict[str, Any], file: Path, found: _Resolving) -> list[str]:
        name = str(member["task"])
        if name in self._files and "dataset_path" not in member:
            base = self._entry(name)[0]
            self._add(str(member.get("task_alias") or name), base, member, found)
            return [str(member.get("task_alias") or name)]
        self._add(name, file, member, found, alone=True)
        return [name]

    def _add(self, name: str, file: Path, changes: Mapping[str, Any], found: _Resolving, *, alone: bool = False) -> None:
        data = {} if alone else read_task_file(file, self._file_of)
        config = TaskConfig.parse({**data, **changes, "task": name}, str(file))
        known = found.tasks.get(name)
        if known is not None and known.config != config:
            raise SpecError(str(file), name, "two members of the groups have this name and differ", "name them apart")
        found.tasks[name] = ResolvedTask(name, config, file.parent, file)

    def _entry(self, name: str) -> tuple[Path, dict[str, Any]]:
        entries = self._files[name]
        if len(entries) > 1:
            files = " and ".join(str(file) for file, _ in entries[:2])
            raise SpecError("spec.tasks", name, f"the name is defined twice, in {files}", "rename one of them")
        return entries[0]

    def _file_of(self, name: str) -> Path | None:
        return self._files[name][0][0] if name in self._files else None

    @cached_property
    def _index(self) -> tuple[dict[str, list[tuple[Path, dict[str, Any]]]], list[tuple[Path, str]]]:
        files: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
        broken = []
        for file in (file for folder in self._folders for file in _task_files(folder)):
            try:
                data = read_plain(file)
            except SpecError as error:
                broken.append((file, f"{error.field}: {error.problem}" if error.field else error.problem))
                continue
            named = data.get("task") if isinstance(data.get("task"), str) else data.get("group")
            if isinstance(named, str):
                files.setdefault(named, []).append((file, data))
        return files, broken

    @property
    def _files(self) -> dict[str, list[tuple[Path, dict[str, Any]]]]:
        return self._index[0]

    @property
    def _broken(self) -> list[tuple[Path, str]]:
        return self._index[1]

    @cached_property
    def _tags(self) -> dict[str, list[str]]:
        tags: dict[str, list[str]] = {}
        for name, entries in self._files.items():
            file, data = entries[0]
            if _is_group(data):
                continue
            try:
                merged = read_task_file(file, self._file_of)
            except SpecError:
                continue
            for key in ("tag", "group"):
                labels = merged.get(key) or []
                for label in [labels] if isinstance(labels, str) else labels:
                    tags.setdefault(str(label), []).append(name)
        return {tag: sorted(members) for tag, members in tags.items()}


def _is_group(data: Mapping[str, Any]) -> bool:
    return "group" in data and isinstance(data.get("task"), list)


def _task_files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*.y*ml") if path.suffix in (".yaml", ".yml") and path.is_file())
