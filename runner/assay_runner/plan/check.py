"""Tries a planned task on its first documents, so that what cannot work is refused before anything expensive starts."""

from __future__ import annotations

from pathlib import Path

from assay_api.errors import SpecError
from assay_api.plan import TaskPlan
from assay_runner.backends.base import Description
from assay_runner.data.documents import ANYWHERE, Documents
from assay_runner.store.base import Store
from assay_runner.tasks.catalogue import ResolvedTask
from assay_runner.tasks.task import Task, TaskError

_TRIED = 4
"""Documents that are built on trial: a task is refused when every one of them fails."""


def check_task(
    plan: TaskPlan,
    code: Path | None,
    seed: int,
    model_name: str,
    store: Store,
    resolved: ResolvedTask,
    description: Description,
) -> None:
    """Load the task as a worker will, and build its first documents.

    Raises:
        SpecError: the task cannot work, or the backend cannot do what it needs.
    """
    file = str(resolved.file)
    task = Task.load(plan, code, seed, model_name)
    if task.needs_loglikelihood and not description.loglikelihood:
        raise SpecError(
            file,
            "output_type",
            f"{resolved.config.output_type} needs log-likelihoods, which this model's backend does not give",
            "use another backend or task; for openai see model.args.loglikelihood",
        )
    if task.samples and not description.samples:
        raise SpecError(
            file,
            "generation_kwargs.temperature",
            "the task samples its answers, and this model gives one answer alone",
            "set temperature to 0",
        )
    pool = Documents(store, plan.fewshot.pool, kept=ANYWHERE) if plan.fewshot else None
    failure: TaskError | None = None
    sent: set[str] = set()
    for number, doc in enumerate(Documents(store, plan.data).read(0, min(_TRIED, plan.documents))):
        examples = [pool.read(at, at + 1)[0] for at in task.choose_examples(number, len(pool))] if pool else []
        try:
            samples = task.build(number, doc, examples)
        except TaskError as error:
            failure = failure or error
            continue
        failure = None
        sent.update(part["type"] for message in samples[0].prompt for part in message["content"])
        break
    if failure:
        raise SpecError(
            file,
            resolved.name,
            f"its first documents cannot be built: {failure}",
            "correct the task; `assay plan` shows it again",
        )
    if task.needs_loglikelihood and sent - {"text"} and not description.loglikelihood_media:
        raise SpecError(
            file,
            "output_type",
            f"{resolved.config.output_type} needs log-likelihoods after media, which this model's backend does not give",
            "use generate_until, or backend transformers",
        )
    unsupported = (sent - {"text"}) - description.media
    if unsupported:
        kinds = ", ".join(sorted(unsupported))
        raise SpecError(
            file, resolved.name, f"it asks about {kinds}, which this model does not take", "use a model that does"
        )
