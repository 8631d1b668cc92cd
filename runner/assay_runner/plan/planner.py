"""Makes the plan: resolves tasks, loads, pins and stages data, checks the model and the gates, cuts chunks.

The plan is a function of the manifest, the task files, the data, the engine and the gates' baselines alone. Where things lie
(store, model folder, endpoint, baselines) goes into the run's placement, which no number depends on.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay_api.backends import BackendName
from assay_api.errors import SpecError
from assay_api.evaljob import TASK_NAME, EvalJob, TaskRef
from assay_api.plan import CodePin, DataPin, FewshotPlan, GatePlan, GroupPlan, ModelPlan, Plan, TaskPlan
from assay_api.records import Placement
from assay_runner import __version__
from assay_runner.backends.base import Description
from assay_runner.data.documents import Doc, stage
from assay_runner.data.source import DatasetSpec, load
from assay_runner.plan.check import check_task
from assay_runner.plan.chunks import boundaries, document_cost
from assay_runner.plan.sources import task_folders
from assay_runner.store.base import Store
from assay_runner.tasks.bundle import make_bundle, put_bundle
from assay_runner.tasks.catalogue import Catalogue, ResolvedTask
from assay_runner.tasks.task import MetricSpec, Task

PlanGates = Callable[
    [EvalJob, Path, Plan, Mapping[str, Sequence[MetricSpec]]], tuple[tuple[GatePlan, ...], dict[str, str]]
]
"""(job, manifest, plan without gates, task → its metrics) → gates, and for each with a baseline where that lies."""
POOL = 1000
"""Documents of the few-shot split that examples are chosen from."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and where its parts were found."""

    plan: Plan
    placement: Placement


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """What the command line adds to the manifest."""

    scratch: Path
    """A private folder for copies of task files."""
    limit: int | None = None
    """Replaces every task's limit."""
    in_place: bool = False
    """Whether every worker can read files of this machine."""
    config_maps: Path | None = None
    """Where the manifest's ConfigMaps are mounted, one folder each."""


def make_plan(
    job: EvalJob,
    manifest: Path,
    store: Store,
    settings: PlannerSettings,
    describe: Callable[[], Description],
    plan_gates: PlanGates,
) -> Planned:
    """Plan `job`, staging its documents and task files in `store` (the whole store, not one run's part).

    Args:
        manifest: the file the job came from; relative folders in it are meant from there.
        describe: what the backend says of the model. It may import an engine, so it is asked once every task is known.
        plan_gates: what checks the job's gates, when everything else is planned.

    Raises:
        SpecError: something in the manifest, a task or its data is wrong.
        Failed: a hub or the store cannot be reached.
    """
    folders = task_folders(job.spec.task_sources, manifest, settings.scratch, settings.config_maps)
    chosen, groups = _choose(job, manifest, Catalogue(folders))
    description = describe()
    made = [_plan_task(task, reference, job, store, settings, description) for task, reference in chosen.values()]
    model = job.spec.model
    folder = _model_folder(job, manifest)
    plan = Plan(
        assay_version=__version__,
        job=job.metadata.name,
        model=ModelPlan(
            backend=model.backend.value,
            name=model.name,
            revision=model.revision,
            args=model.args,
            pins=description.pins,
        ),
        tasks=tuple(task for task, _ in made),
        groups=groups,
        seed=job.spec.seed,
        batch_size=description.batch_size,
        determinism=description.determinism,
    )
    gates, baselines = plan_gates(job, manifest, plan, {task.name: metrics for task, metrics in made})
    plan = plan.model_copy(update={"gates": gates})
    endpoint, asked = model.endpoint, model.endpoint or model.server
    placement = Placement(
        model=str(folder) if folder else None,
        url=endpoint.url if endpoint else None,
        max_concurrency=asked.max_concurrency if asked else 64,
        timeout_seconds=asked.timeout_seconds if asked else 600,
        hedge=endpoint.hedge if endpoint else False,
        workers=job.spec.replicas,
        retries=job.spec.error_policy.retries,
        max_error_rate=job.spec.error_policy.max_error_rate,
        baselines=baselines,
    )
    return Planned(plan, placement)


def _choose(
    job: EvalJob, manifest: Path, catalogue: Catalogue
) -> tuple[dict[str, tuple[ResolvedTask, TaskRef]], tuple[GroupPlan, ...]]:
    """The tasks that the manifest's names stand for, each with what was asked of it, and their groups.

    Raises:
        SpecError: a name is unknown, a task's file is wrong, or a task is asked for twice.
    """
    chosen: dict[str, tuple[ResolvedTask, TaskRef]] = {}
    groups: dict[str, GroupPlan] = {}
    for reference in job.spec.tasks:
        resolved = catalogue.resolve([reference.name])
        for task in resolved.tasks:
            if task.name in chosen:
                raise SpecError(
                    str(manifest),
                    "spec.tasks",
                    f"task {task.name} is asked for twice, once through {reference.name}",
                    "list it once",
                )
            _check_name(task)
            chosen[task.name] = task, reference
        for group in resolved.groups:
            groups[group.name] = GroupPlan(name=group.name, tasks=tuple(group.tasks), metrics=tuple(group.metrics))
    return chosen, tuple(groups.values())


def _check_name(task: ResolvedTask) -> None:
    if not re.fullmatch(TASK_NAME, task.name) or len(task.name) > 128:
        raise SpecError(
            str(task.file),
            "task",
            f"{task.name!r} cannot be a task's name",
            "use up to 128 letters, digits and _ . + -",
        )


def located_model(job: EvalJob, manifest: Path) -> EvalJob:
    """The job with a relative model folder made absolute, for a look at the model while planning."""
    folder = _model_folder(job, manifest)
    if folder is None:
        return job
    model = job.spec.model.model_copy(update={"name": str(folder)})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"model": model})})


def _model_folder(job: EvalJob, manifest: Path) -> Path | None:
    if job.spec.model.backend is BackendName.OPENAI:
        return None
    for base in (manifest.parent, Path.cwd()):
        folder = base / job.spec.model.name
        if folder.is_dir():
            return folder.resolve()
    return None


def _plan_task(
    resolved: ResolvedTask,
    reference: TaskRef,
    job: EvalJob,
    store: Store,
    settings: PlannerSettings,
    description: Description,
) -> tuple[TaskPlan, tuple[MetricSpec, ...]]:
    config = resolved.config.with_overrides(
        num_fewshot=reference.num_fewshot,
        repeats=reference.repeats,
        generation=reference.generation.model_dump(exclude_none=True) if reference.generation else None,
    )
    code: CodePin | None = None
    folder: Path | None = None
    if config.uses_code:
        code, bundle = make_bundle(*config.folders)
        folder = put_bundle(store, code, bundle, settings.scratch)
    draft = TaskPlan(
        name=resolved.name,
        config=config.to_plain(),
        code=code,
        data=DataPin(fingerprint="", documents=1, source=""),
        repeats=config.repeats,
        boundaries=(0, 1),
    )
    task = Task.load(draft, folder, job.spec.seed, job.spec.model.name)
    limit = settings.limit or reference.limit
    costs = array("d")
    loaded = load(_dataset(resolved, config.evaluated_split), task.process_docs, limit)
    rows = _costed(_identified(loaded.rows, resolved), costs)
    # What was copied here for planning is gone when the plan is made.
    in_place = settings.in_place and not resolved.folder.is_relative_to(settings.scratch.resolve())
    data = stage(store, rows, loaded.source, in_place=in_place)
    fewshot = _plan_fewshot(resolved, task, store, data, in_place=in_place) if task.num_fewshot else None
    plan = draft.model_copy(
        update={
            "data": data,
            "fewshot": fewshot,
            "boundaries": boundaries(costs, job.spec.chunk_size, description.batch_size),
        }
    )
    check_task(plan, folder, job.spec.seed, job.spec.model.name, store, resolved, description)
    return plan, task.metrics


def _plan_fewshot(resolved: ResolvedTask, task: Task, store: Store, data: DataPin, *, in_place: bool) -> FewshotPlan:
    split = task.fewshot_split
    if split is None:
        pool = stage(store, task.fewshot_samples, f"examples written in {resolved.file.name}", in_place=in_place)
    elif split == resolved.config.evaluated_split:
        pool = data
    else:
        loaded = load(_dataset(resolved, split), task.process_docs, POOL)
        pool = stage(store, loaded.rows, loaded.source, in_place=in_place)
    if pool.documents < task.num_fewshot + (pool is data):
        raise SpecError(
            str(resolved.file),
            "num_fewshot",
            f"{task.num_fewshot} examples are wanted but there are {pool.documents}",
            "ask for fewer, or name a larger fewshot_split",
        )
    return FewshotPlan(count=task.num_fewshot, pool=pool, sampler=task.fewshot_sampler)


def _dataset(resolved: ResolvedTask, split: str) -> DatasetSpec:
    config = resolved.config
    return DatasetSpec(
        path=config.dataset_path,
        name=config.dataset_name,
        split=split,
        kwargs=config.dataset_kwargs or {},
        media=config.media or {},
        folder=resolved.folder,
        media_from=config.media_from,
    )


def _costed(rows: Iterator[Doc], costs: array[float]) -> Iterator[Doc]:
    for row in rows:
        costs.append(document_cost(row))
        yield row


def _identified(rows: Iterator[Doc], resolved: ResolvedTask) -> Iterator[Doc]:
    key = resolved.config.id_key
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        if key is not None:
            if key not in row:
                raise SpecError(
                    str(resolved.file), "id_key", f"document {number} has no column {key!r}", f"it has {', '.join(row)}"
                )
            name = str(row[key])
            if (first := seen.setdefault(name, number)) != number:
                raise SpecError(
                    str(resolved.file),
                    "id_key",
                    f"documents {first} and {number} both have the id {name!r}",
                    "name a column whose values are unique, or remove id_key",
                )
        yield row
