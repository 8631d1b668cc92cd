"""The media that a sample's prompt held, found again from the planned documents: in the document itself, or by building
its prompt once more, which also gives those of its examples and those that the task's code made."""

from __future__ import annotations

from assay_api.plan import Plan
from assay_runner.data.documents import ANYWHERE, Documents
from assay_runner.data.hashing import media_of
from assay_runner.media import Media
from assay_runner.store.base import Store
from assay_runner.tasks.task import Task, TaskError


class PromptMedia:
    """Media by task and document. Tasks are asked for one after the other: only one's documents are kept at hand."""

    def __init__(self, root: Store, plan: Plan, tasks: dict[str, Task]) -> None:
        """`root` is the storage's root."""
        self._root, self._plan, self._tasks = root, plan, tasks
        self._open: tuple[str, Documents, Documents | None] | None = None

    def __call__(self, task: str, document: int, wanted: frozenset[str]) -> dict[str, Media]:
        """Digest → medium, of those wanted that there are.

        Raises:
            Corrupt, StoreUnavailable: the documents cannot be read.
        """
        documents, pool = self._documents(task)
        doc = documents.read(document, document + 1)[0]
        found = {medium.sha256: medium for medium in media_of(doc)}
        if not wanted <= found.keys():
            loaded = self._tasks[task]
            places = loaded.choose_examples(document, len(pool)) if pool is not None else []
            examples = [pool.read(place, place + 1)[0] for place in places] if pool is not None else []
            try:
                samples = loaded.build(document, doc, examples)
            except TaskError:
                samples = []
            messages = [message for sample in samples for request in sample.requests for message in request.messages]
            found |= {part.sha256: part for message in messages for part in message.parts if isinstance(part, Media)}
        return {digest: medium for digest, medium in found.items() if digest in wanted}

    def _documents(self, task: str) -> tuple[Documents, Documents | None]:
        if self._open is None or self._open[0] != task:
            plan = self._plan.task(task)
            pool = Documents(self._root, plan.fewshot.pool, kept=ANYWHERE) if plan.fewshot else None
            self._open = (task, Documents(self._root, plan.data), pool)
        return self._open[1], self._open[2]
