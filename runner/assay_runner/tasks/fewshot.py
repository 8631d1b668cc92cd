"""Which documents of a pool stand as examples before a question: a function of the seed, the task and the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, cast

from assay_api.errors import SpecError
from assay_runner.data.values import Doc, NotPlainError, plain_row
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.hooks import Code
from assay_runner.tasks.yaml import FunctionRef

Sampler = Literal["default", "first_n"]


@dataclass(frozen=True, slots=True)
class Shots:
    """What a task's `fewshot_config` says."""

    task: str
    sampler: Sampler
    split: str | None
    listed: list[Any] | FunctionRef

    @classmethod
    def of(cls, config: TaskConfig) -> Shots:
        """Read the configuration, with upstream's defaults.

        Raises:
            SpecError: it says what this version does not do.
        """
        said: Mapping[str, Any] = config.fewshot_config or {}
        where = f"task {config.task}"
        unknown = sorted(said.keys() - {"sampler", "samples", "split"})
        if unknown:
            raise SpecError(
                where, f"fewshot_config.{unknown[0]}", "it is not in this version", "use sampler, samples and split"
            )
        sampler = said.get("sampler", "default")
        if sampler not in ("default", "first_n"):
            raise SpecError(where, "fewshot_config.sampler", f"{sampler!r} is not known", "use default or first_n")
        listed = said.get("samples") or []
        if not isinstance(listed, list | FunctionRef):
            raise SpecError(where, "fewshot_config.samples", f"{listed!r} are no examples", "list documents")
        split = config.fewshot_split or said.get("split") or config.training_split or config.validation_split
        return cls(config.task, cast(Sampler, sampler), None if listed else split or config.evaluated_split, listed)

    def samples(self, code: Code, seed: int) -> list[Doc]:
        """The examples that the task brings itself.

        Raises:
            SpecError: the function failed, or they are no documents.
        """
        try:
            listed: Any = self.listed
            if isinstance(self.listed, FunctionRef):
                function = code.find(self.listed)
                start = derive_seed(seed, self.task, "fewshot samples")
                listed = code.folder(self.listed).call("fewshot_config.samples", function, (), start)
            return [plain_row(row) for row in listed]
        except (TaskError, NotPlainError, TypeError) as error:
            raise SpecError(
                f"task {self.task}", "fewshot_config.samples", str(error), "give documents with named columns"
            ) from error


def choose(
    document: int, pool: int, count: int, sampler: Sampler, *, seed: int, task: str, same_split: bool
) -> list[int]:
    """Places in the pool of the examples for a document.

    Args:
        document: number of the document that is asked about.
        pool: size of the pool, at least `count` (one more with `same_split`).
        same_split: the pool is what is evaluated; the document itself is never its own example.
    """
    if sampler == "first_n":
        places = (place for place in range(pool) if not (same_split and place == document))
        return [place for place, _ in zip(places, range(count), strict=False)]
    random = Random(derive_seed(seed, task, str(document), "fewshot"))  # noqa: S311 - a reproducible choice
    drawn = random.sample(range(pool), min(pool, count + same_split))
    return [place for place in drawn if not (same_split and place == document)][:count]
