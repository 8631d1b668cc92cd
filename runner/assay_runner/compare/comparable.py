"""Whether two plans measure the same thing, and what else differs between them.

What belongs to the task (documents, prompts, few-shot examples, repeats, scoring, its Python) must be the same, or the
difference would be one of tasks and not of models. What belongs to how a model is run (backend, its arguments, sampling
settings, seed, chunk size) may differ; where it moves answers by itself, it is noted. docs/compare.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from assay_api.errors import EXIT_SPEC, AssayError
from assay_api.plan import CodePin, Plan, TaskPlan
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.generation import generation_of
from assay_runner.work.beside import SERVER, difference

_PINNED_ELSEWHERE = {"dataset_path", "dataset_name", "dataset_kwargs", "media", "num_fewshot", "repeats"}
"""Where documents were found says nothing that their fingerprint does not; the others are in the plan itself."""
_RUNNING_THE_MODEL = {"generation_kwargs", "model_specific_generation_kwargs"}
_WITHOUT_EFFECT = {
    "task_alias",
    "tag",
    "group",
    "group_alias",
    "metadata",
    "should_decontaminate",
    "doc_to_decontamination_query",
}
_NOT_COMPARED = _PINNED_ELSEWHERE | _RUNNING_THE_MODEL | _WITHOUT_EFFECT


class Incomparable(AssayError):
    """The runs do not measure the same thing; the message says in what they differ."""

    exit_code = EXIT_SPEC


def common_tasks(a: Plan, b: Plan) -> tuple[str, ...]:
    """The tasks of both plans, in A's order, once it is certain that they are the same tasks.

    Raises:
        Incomparable: there are none, or a common task differs in its documents, its definition or its Python.
    """
    others = {task.name for task in b.tasks}
    common = tuple(task.name for task in a.tasks if task.name in others)
    if not common:
        raise Incomparable(
            f"The runs cannot be compared: they have no task in common; A has {_names(a)}, B has {_names(b)}."
        )
    if wrong := differences(a, b, common):
        raise Incomparable(
            f"The runs cannot be compared, for they differ (A against B) in more than the model: {'; '.join(wrong)}. "
            "Run both models with the same limit, task files and data."
        )
    return common


def differences(a: Plan, b: Plan, tasks: Sequence[str]) -> list[str]:
    """In what tasks of both plans differ so that they measure something else, each as a phrase; none when they are the
    same tasks."""
    return [
        f"task {name}: {difference}" for name in tasks for difference in _differences(a, b, a.task(name), b.task(name))
    ]


def notes(a: Plan, b: Plan, tasks: tuple[str, ...]) -> Iterator[str]:
    """What may differ and should be known when reading the figures, in sentences."""
    yield from how_run(a, b, tasks)
    for label, plan in (("A", a), ("B", b)):
        if alone := [task.name for task in plan.tasks if task.name not in tasks]:
            yield f"Only {label} has {', '.join(alone)}; nothing is compared there."


def how_run(a: Plan, b: Plan, tasks: Sequence[str]) -> Iterator[str]:
    """In what the runs differ, of these tasks, that may move answers by itself."""
    if a.assay_version != b.assay_version:
        yield (
            f"A was run by Assay {a.assay_version}, B by {b.assay_version}: "
            "built-in metrics and prompts may have changed between them (see the changelog)."
        )
    if a.seed != b.seed:
        yield f"The seeds differ ({a.seed} against {b.seed}): sampled answers, and task code that draws, differ by chance."
    if said := _servers(a, b):
        yield f"The models were served differently: {said}."
    for name in tasks:
        first, second = TaskConfig.from_plain(a.task(name).config), TaskConfig.from_plain(b.task(name).config)
        if first.output_type == "generate_until" and (said := _generation(first, a, second, b)):
            yield f"Task {name} was answered with other generation settings: {said}."
        if first.metadata != second.metadata:
            yield f"Task {name} states other metadata: {_shown(first.metadata)} against {_shown(second.metadata)}."


def _differences(a: Plan, b: Plan, first: TaskPlan, second: TaskPlan) -> Iterator[str]:
    if first.documents != second.documents:
        yield f"documents {first.documents:,} against {second.documents:,}"
    if first.data.fingerprint != second.data.fingerprint:
        yield f"data {first.data.fingerprint[:12]} against {second.data.fingerprint[:12]}"
    if first.repeats != second.repeats:
        yield f"repeats {first.repeats} against {second.repeats}"
    yield from _fewshot_differences(a, b, first, second)
    one, other = TaskConfig.from_plain(first.config), TaskConfig.from_plain(second.config)
    for field in TaskConfig.model_fields:
        if field not in _NOT_COMPARED and getattr(one, field) != getattr(other, field):
            yield f"{field} {_shown(first.config.get(field))} against {_shown(second.config.get(field))}"
    if first.code != second.code:
        yield f"Python files of the task: {_files(first.code, second.code)}"


def _fewshot_differences(a: Plan, b: Plan, first: TaskPlan, second: TaskPlan) -> Iterator[str]:
    one, other = first.fewshot, second.fewshot
    if one is None or other is None or one.count != other.count:
        counts = [shots.count if shots else 0 for shots in (one, other)]
        if counts[0] != counts[1]:
            yield f"few-shot examples {counts[0]} against {counts[1]}"
        return
    if one.sampler != other.sampler:
        yield f"few-shot sampler {one.sampler} against {other.sampler}"
    if one.pool.fingerprint != other.pool.fingerprint:
        yield f"few-shot pool {one.pool.fingerprint[:12]} against {other.pool.fingerprint[:12]}"
    if one.sampler == "default" and a.seed != b.seed:
        yield f"seed {a.seed} against {b.seed}, by which the few-shot examples are chosen"


def _servers(a: Plan, b: Plan) -> str:
    """In what the servers beside the workers differ; where one run had none, the comparison says so by its backends."""
    one, other = a.model.pins.get(SERVER), b.model.pins.get(SERVER)
    return difference(one, other) if one and other else ""


def _generation(first: TaskConfig, a: Plan, second: TaskConfig, b: Plan) -> str:
    """Settings that differ once defaults and entries for the model are merged."""
    one, other = generation_of(first, a.model.name), generation_of(second, b.model.name)
    return ", ".join(
        f"{field.name} {_shown(getattr(one, field.name))} against {_shown(getattr(other, field.name))}"
        for field in fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    )


def _files(first: CodePin | None, second: CodePin | None) -> str:
    one, other = (pin.files if pin else {} for pin in (first, second))
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    # Files lie below the place of their folder in the bundle, which says nothing to a person.
    return ", ".join(name.partition("/")[2] or name for name in differing)


def _names(plan: Plan) -> str:
    return ", ".join(task.name for task in plan.tasks)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
