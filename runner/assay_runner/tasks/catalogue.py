"""Which tasks there are: indexes folders of task files and resolves names to tasks, groups and tags.

Indexing reads YAML and runs nothing. A broken file that nobody asks for stops nobody; a name that two of the user's files
define is an error as soon as it is asked for, because guessing which was meant would guess a number. A task of the
user's is meant rather than the shipped one of the same name: upstream's task folders run as they are.
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
from assay_runner.tasks.describe import group_row, task_row
from assay_runner.tasks.yaml import merge_includes, read_plain, read_task_file

SHIPPED = Path(__file__).parent / "catalog"
_GROUP_FIELDS = {"group", "group_alias", "task", "tag", "aggregate_metric_list", "metadata", "include"}
_METRIC_FIELDS = {"metric", "aggregation", "weight_by_size", "filter_list", "higher_is_better"}


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


@dataclass(frozen=True, slots=True)
class _Entry:
    file: Path
    data: Mapping[str, Any]

    @property
    def is_group(self) -> bool:
        return isinstance(self.data.get("task"), list) and isinstance(self.data.get("group"), str)


@dataclass(slots=True)
class _Index:
    entries: dict[str, list[_Entry]] = field(default_factory=dict)
    broken: list[tuple[Path, str]] = field(default_factory=list)

    @classmethod
    def of(cls, folders: Iterable[Path]) -> _Index:
        index = cls()
        for file in dict.fromkeys(file for folder in folders for file in _task_files(folder)):
            try:
                data = read_plain(file)
            except SpecError as error:
                index.broken.append((file, f"{error.field}: {error.problem}" if error.field else error.problem))
                continue
            named = data.get("task") if isinstance(data.get("task"), str) else data.get("group")
            if isinstance(named, str):
                index.entries.setdefault(named, []).append(_Entry(file, data))
        return index


@dataclass(slots=True)
class _Resolving:
    tasks: dict[str, ResolvedTask] = field(default_factory=dict)
    groups: dict[str, GroupDef] = field(default_factory=dict)


class Catalogue:
    """The shipped tasks and those of the user's folders."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = list(folders)

    def names(self) -> list[str]:
        """Tasks, groups and tags, sorted."""
        return sorted({*self._entries, *self._tags})

    def describe(self) -> list[dict[str, Any]]:
        """One row per task and group for `assay tasks`: name, kind, modality, output, dataset, description."""
        return [self._row(name) for name in sorted(self._entries)]

    def resolve(self, names: Iterable[str]) -> Resolved:
        """The tasks and groups that `names` (of tasks, groups or tags) stand for.

        Raises:
            SpecError: a name is unknown or defined twice, or a task's file is wrong.
        """
        found = _Resolving()
        for name in names:
            self._resolve(name, found, ())
        return Resolved(tuple(found.tasks.values()), tuple(found.groups.values()))

    def _row(self, name: str) -> dict[str, Any]:
        entry = self._entries[name][0]
        if entry.is_group:
            return group_row(name, entry.data)
        try:
            return task_row(name, read_task_file(entry.file, self._shipped_file))
        except SpecError as error:
            return task_row(name, {}) | {"kind": "broken", "description": error.problem}

    def _resolve(self, name: str, found: _Resolving, within: tuple[str, ...]) -> list[str]:
        if name in within:
            chain = " → ".join((*within, name))
            raise SpecError(name, "task", f"the group contains itself ({chain})", "remove one of the members")
        if name in self._entries:
            entry = self._only(name)
            if entry.is_group:
                return self._resolve_group(name, entry, found, (*within, name))
            return self._add(name, read_task_file(entry.file, self._shipped_file), entry.file, found)
        if name in self._tags:
            return [member for task in self._tags[name] for member in self._resolve(task, found, (*within, name))]
        raise self._unknown(name)

    def _resolve_group(self, name: str, entry: _Entry, found: _Resolving, within: tuple[str, ...]) -> list[str]:
        data, file = read_task_file(entry.file, self._shipped_file), entry.file
        unknown = sorted(data.keys() - _GROUP_FIELDS)
        if unknown:
            raise SpecError(
                str(file), unknown[0], "a group has no such field", f"known are: {', '.join(sorted(_GROUP_FIELDS))}"
            )
        members: list[str] = []
        for member in data["task"]:
            if isinstance(member, str):
                members += self._resolve(member, found, within)
            elif isinstance(member, Mapping) and isinstance(member.get("task"), str):
                members += self._inline(member, file, found)
            else:
                raise SpecError(str(file), "task", f"{member!r} is no member of a group", "list names or task mappings")
        metrics = tuple(_group_metric(entry, file) for entry in data.get("aggregate_metric_list") or ())
        found.groups[name] = GroupDef(name, tuple(dict.fromkeys(members)), metrics)
        return members

    def _inline(self, member: Mapping[str, Any], file: Path, found: _Resolving) -> list[str]:
        name = str(member["task"])
        if "include" in member or "dataset_path" in member:
            return self._add(name, merge_includes(member, file, self._shipped_file), file, found)
        if name not in self._entries:
            raise self._unknown(name)
        base = self._only(name).file
        return self._add(name, read_task_file(base, self._shipped_file) | dict(member), base, found)

    def _add(self, name: str, data: Mapping[str, Any], file: Path, found: _Resolving) -> list[str]:
        config = TaskConfig.parse({**data, "task": name}, str(file))
        known = found.tasks.get(name)
        if known is not None and known.config != config:
            raise SpecError(
                str(file), name, f"it is asked for in two ways, here and in {known.file}", "give one of them a name"
            )
        found.tasks[name] = ResolvedTask(name, config, file.parent, file)
        return [name]

    def _only(self, name: str) -> _Entry:
        entries = self._entries[name]
        if len(entries) > 1:
            files = " and ".join(str(entry.file) for entry in entries[:2])
            raise SpecError("spec.tasks", name, f"the name is defined twice, in {files}", "rename one of them")
        return entries[0]

    def _unknown(self, name: str) -> SpecError:
        close = difflib.get_close_matches(name, self.names(), 3, 0.5)
        remedy = f"similar names are: {', '.join(close)}" if close else "`assay tasks` lists what there is"
        broken = [f" ({file} cannot be read: {reason})" for file, reason in self._user.broken]
        return SpecError("spec.tasks", name, f"there is no such task, group or tag{''.join(broken[:1])}", remedy)

    def _shipped_file(self, name: str) -> Path | None:
        entries = self._shipped.entries.get(name)
        return entries[0].file if entries else None

    @cached_property
    def _shipped(self) -> _Index:
        return _Index.of([SHIPPED])

    @cached_property
    def _user(self) -> _Index:
        return _Index.of(self._folders)

    @cached_property
    def _entries(self) -> dict[str, list[_Entry]]:
        return self._shipped.entries | self._user.entries

    @cached_property
    def _tags(self) -> dict[str, list[str]]:
        tags: dict[str, list[str]] = {}
        for name in sorted(self._entries):
            entry = self._entries[name][0]
            if entry.is_group:
                continue
            try:
                merged = read_task_file(entry.file, self._shipped_file)
            except SpecError:
                continue
            for key in ("tag", "group"):
                labels = merged.get(key) or []
                for label in [labels] if isinstance(labels, str) else labels:
                    tags.setdefault(str(label), []).append(name)
        return tags


def _group_metric(entry: Any, file: Path) -> dict[str, Any]:
    where = "aggregate_metric_list"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metric"), str):
        raise SpecError(str(file), where, f"{entry!r} names no metric", "write `- metric: NAME`")
    unknown = sorted(entry.keys() - _METRIC_FIELDS)
    if unknown:
        known = ", ".join(sorted(_METRIC_FIELDS))
        raise SpecError(str(file), f"{where}.{unknown[0]}", "there is no such field", f"known are: {known}")
    if entry.get("aggregation", "mean") != "mean":
        raise SpecError(str(file), f"{where}.aggregation", "groups are aggregated by their mean only", "use mean")
    return dict(entry)


def _task_files(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in sorted(root.rglob("*.y*ml")):
        # A mounted ConfigMap shows its files a second time, in a hidden folder.
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.suffix in (".yaml", ".yml") and path.is_file():
            yield path
