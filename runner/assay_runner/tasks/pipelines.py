"""Filter pipelines of a task: made from its `filter_list`, run on the answers of one document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.filters import BUILT_IN, REDUCING, Filter
from assay_runner.tasks.hooks import Code, Hooks
from assay_runner.tasks.yaml import FunctionRef


@dataclass(frozen=True, slots=True)
class _Step:
    label: str
    filter: Filter
    reference: FunctionRef | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One named sequence of filters; `reducing` when it makes one result of a document's repeats."""

    name: str
    steps: tuple[_Step, ...] = ()
    reducing: bool = False

    @property
    def suffix(self) -> str:
        """What stands after the metric's name in an item's key."""
        return "" if self.name == "none" else f",{self.name}"

    @property
    def keeps_only_the_first(self) -> bool:
        """Whether it does nothing but take the first answer."""
        return all(step.label == "take_first" for step in self.steps)

    def run(self, hooks: Hooks, number: int, doc: Mapping[str, Any], answers: Sequence[str]) -> Any:
        """What is kept of the answers: one text, or the list that `take_first_k` keeps.

        Raises:
            TaskError: a filter failed.
        """
        kept: list[Any] = [list(answers)]
        for step in self.steps:
            if step.reference is not None:
                kept = list(hooks.filtered(step.label, step.reference, step.filter.apply, kept, number, doc))
                continue
            try:
                kept = list(step.filter.apply(kept, [doc]))
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                message = f"filter {step.label} failed ({type(error).__name__}: {error})"
                raise TaskError("TaskError", message) from error
        if len(kept) != 1:
            raise TaskError("TaskError", f"filter pipeline {self.name} gave {len(kept)} results for one document")
        result = kept[0]
        if isinstance(result, list) and not any(step.label == "take_first_k" for step in self.steps):
            return result[0] if result else ""
        return result


def pipelines(config: TaskConfig, code: Code) -> tuple[Pipeline, ...]:
    """The task's pipelines; without a `filter_list` one that keeps the answer.

    Raises:
        SpecError: a filter is unknown, cannot be made, or needs more repeats than there are; two have one name.
    """
    made = tuple(_pipeline(entry, config, code) for entry in config.filter_list or ()) or (Pipeline("none"),)
    names = [pipeline.name for pipeline in made]
    for name in names:
        if names.count(name) > 1 or "," in name:
            raise SpecError(
                f"task {config.task}", "filter_list", f"the name {name!r} is taken or has a comma", "name each pipeline"
            )
    if config.output_type != "generate_until" and not all(pipeline.keeps_only_the_first for pipeline in made):
        raise SpecError(
            f"task {config.task}", "filter_list", f"{config.output_type} has no answers to filter", "remove filter_list"
        )
    return made


def _pipeline(entry: Mapping[str, Any], config: TaskConfig, code: Code) -> Pipeline:
    name = str(entry.get("name", "none"))
    where, field = f"task {config.task}", f"filter_list.{name}"
    steps = []
    for wanted in entry.get("filter") or ():
        if not isinstance(wanted, Mapping) or not isinstance(wanted.get("function"), str | FunctionRef):
            raise SpecError(where, field, f"{wanted!r} is no filter", "write `- function: NAME` and its options")
        function = wanted["function"]
        options = {key: value for key, value in wanted.items() if key not in ("function", "kwargs")}
        options |= wanted.get("kwargs") or {}
        label = function.name if isinstance(function, FunctionRef) else str(function)
        if isinstance(function, str) and function not in BUILT_IN:
            known = ", ".join(sorted(BUILT_IN))
            raise SpecError(where, field, f"there is no filter {label!r}", f"known filters are: {known}")
        try:
            if isinstance(function, FunctionRef):
                factory = code.find(function)
                made = code.folder(function).call(f"filter {label}", lambda: factory(**options), (), 0)  # noqa: B023
            else:
                made = BUILT_IN[label](**options)
        # Patterns and options are the user's: whatever is wrong with them, the answer names the filter.
        except (TaskError, re.error, TypeError, ValueError) as error:
            raise SpecError(where, field, f"filter {label} cannot be made ({error})", "correct its options") from error
        if label == "take_first_k" and options.get("k", 1) > config.repeats:
            raise SpecError(
                where,
                field,
                f"take_first_k keeps {options['k']} answers of {config.repeats}",
                "raise repeats or lower k",
            )
        steps.append(_Step(label, made, function if isinstance(function, FunctionRef) else None))
    reducing = config.repeats > 1 and any(step.label in REDUCING for step in steps)
    return Pipeline(name, tuple(steps), reducing)
