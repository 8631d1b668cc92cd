"""One planned task, ready to be worked on: its documents, its few-shot pool, its loaded code and its chunk bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from assay_api import layout
from assay_api.plan import Plan, TaskPlan
from assay_api.records import SampleRecord
from assay_runner.backends.base import Response
from assay_runner.data.documents import ANYWHERE, Doc, Documents
from assay_runner.data.media_cache import MediaCache
from assay_runner.store.base import Store
from assay_runner.tasks.bundle import fetch
from assay_runner.tasks.task import Sample, Task, TaskError

Built = tuple[int, Doc, Sequence[Sample] | TaskError]
"""Document number, document, and its samples or why there are none."""
Answered = tuple[Doc, Sequence[Sample], Sequence[Sequence[Response]], Sequence[float | None]]
"""Document, its samples, each sample's answers, and the seconds that each waited in the worker, as far as they are known."""


class Stage:
    """A task of the plan with everything a worker needs of it."""

    def __init__(self, plan: TaskPlan, task: Task, documents: Documents, pool: Documents | None) -> None:
        self._plan, self._task, self._documents, self._pool = plan, task, documents, pool

    @property
    def repeats(self) -> int:
        """Samples per document."""
        return self._plan.repeats

    def bounds(self, chunk: int) -> tuple[int, int]:
        """First document of the chunk and the one after its last."""
        return self._plan.boundaries[chunk], self._plan.boundaries[chunk + 1]

    def sample_ids(self, chunk: int) -> list[str]:
        """The chunk's samples in planned order."""
        start, stop = self.bounds(chunk)
        return [
            layout.sample_id(self._plan.name, document, repeat)
            for document in range(start, stop)
            for repeat in range(self.repeats)
        ]

    def read(self, start: int, stop: int) -> list[Doc]:
        """Documents from `start` up to `stop`."""
        return self._documents.read(start, stop)

    def build(self, start: int, docs: Sequence[Doc]) -> list[Built]:
        """The samples of `docs`, which begin at document number `start`."""
        with self._task.in_a_row():
            return [(document, doc, self._build(document, doc)) for document, doc in enumerate(docs, start)]

    def _build(self, document: int, doc: Doc) -> Sequence[Sample] | TaskError:
        try:
            return self._task.build(document, doc, self._examples(document))
        except TaskError as error:
            return error

    def _examples(self, document: int) -> list[Doc]:
        if self._pool is None:
            return []
        return [self._pool.read(place, place + 1)[0] for place in self._task.choose_examples(document, len(self._pool))]

    def score(self, answered: Sequence[Answered], clock: Callable[[], float]) -> list[list[SampleRecord]]:
        """The records of every document, one per repeat."""
        with self._task.in_a_row():
            return [self._task.score(*one, clock) for one in answered]

    def failed(self, document: int, error: TaskError) -> list[SampleRecord]:
        """Error records of a document that could not be built."""
        return self._task.failed(document, error)


def open_stages(plan: Plan, root: Store, scratch: Path, cache: MediaCache | None = None) -> dict[str, Stage]:
    """Every task of the plan, from nothing but the store; `scratch` receives the task files, `cache` keeps large media.

    Raises:
        SpecError: task files are not the planned ones.
        Corrupt: staged documents are not the planned ones.
    """
    stages = {}
    for task_plan in plan.tasks:
        folder = fetch(root, task_plan.code, scratch) if task_plan.code else None
        task = Task.load(task_plan, folder, plan.seed, plan.model.name)
        pool = Documents(root, task_plan.fewshot.pool, kept=ANYWHERE, cache=cache) if task_plan.fewshot else None
        stages[task_plan.name] = Stage(task_plan, task, Documents(root, task_plan.data, cache=cache), pool)
    return stages
