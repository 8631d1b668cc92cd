"""`plan.json`: everything that defines the numbers of a run, fixed before any worker starts.

A plan names no place and no time: neither the store, nor where data lies, nor how many workers there are. So the same
manifest over the same data gives the same bytes, and the same digest, on a laptop and on a cluster.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from assay_api.base import Record, sha256


class DataPin(Record):
    """A set of documents, pinned by content: `fingerprint` is the digest of the rows with their media."""

    fingerprint: str
    documents: int = Field(ge=0)
    source: str
    """For people: hub id with revision, package with version, or file names."""


class CodePin(Record):
    """A bundle of task files, pinned by content."""

    fingerprint: str
    files: dict[str, str]
    """File name within the bundle → sha256."""


class FewshotPlan(Record):
    """The examples that stand in front of each question."""

    count: int = Field(ge=1)
    pool: DataPin
    sampler: Literal["default", "first_n"]


class TaskPlan(Record):
    """One task: its resolved configuration, its documents and how they are cut into chunks."""

    name: str
    config: dict[str, Any]
    """The resolved task file: includes merged, functions as {"!function": "module.name"}."""
    code: CodePin | None = None
    data: DataPin
    fewshot: FewshotPlan | None = None
    repeats: int = Field(ge=1)
    boundaries: tuple[int, ...]
    """Chunk i holds documents boundaries[i] up to boundaries[i + 1]."""

    @model_validator(mode="after")
    def _boundaries_cover_the_documents(self) -> Self:
        rising = all(low < high for low, high in pairwise(self.boundaries))
        if (
            len(self.boundaries) < 2
            or self.boundaries[0] != 0
            or not rising
            or self.boundaries[-1] > self.data.documents
        ):
            raise ValueError(f"the chunk boundaries of task {self.name} do not cover its documents in order")
        return self

    @property
    def documents(self) -> int:
        """Documents that are evaluated (after `limit`)."""
        return self.boundaries[-1]

    @property
    def samples(self) -> int:
        """Planned samples: documents times repeats."""
        return self.documents * self.repeats

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return len(self.boundaries) - 1


class GroupPlan(Record):
    """A named set of tasks with metrics over them."""

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...] = ()


class ModelPlan(Record):
    """The model as the backend was told to run it."""

    backend: str
    name: str
    revision: str | None = None
    args: dict[str, Any] = Field(default_factory=dict)
    pins: dict[str, Any] = Field(default_factory=dict)
    """What moves the low bits of recorded numbers: engine versions, device kind, dtype, threads, batch size, weights."""


class BaselinePin(Record):
    """A finished run, pinned by content: where it lies is in the placement."""

    plan: str
    """Digest of its plan."""
    results: str
    """SHA-256 of its results.json."""


class GatePlan(Record):
    """A gate as it was found to be possible: its metric exists, and its baseline is comparable."""

    name: str
    task: str
    """Task or group of this plan."""
    metric: str
    filter: str
    higher_is_better: bool
    minimum: float | None = None
    maximum: float | None = None
    smallest_difference: float | None = None
    baseline: BaselinePin | None = None


class Plan(Record):
    """Everything that defines the numbers of a run."""

    schema_: Literal["assay/plan/v1"] = Field(default="assay/plan/v1", alias="schema")
    assay_version: str
    job: str
    model: ModelPlan
    tasks: tuple[TaskPlan, ...] = Field(min_length=1)
    groups: tuple[GroupPlan, ...] = ()
    seed: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    """Requests that are handed to the backend together; batches are formed inside a chunk in planned order."""
    determinism: Literal["exact", "best-effort"]
    gates: tuple[GatePlan, ...] = ()
    """No number depends on them, but they stand before any number does: with other gates it is another run."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of plan.json: the identity of the run's numbers."""
        return sha256(self.encode())

    @property
    def samples(self) -> int:
        """Planned samples of all tasks."""
        return sum(task.samples for task in self.tasks)

    @property
    def chunks(self) -> int:
        """Planned chunks of all tasks."""
        return sum(task.chunks for task in self.tasks)

    def task(self, name: str) -> TaskPlan:
        """The plan of one task.

        Raises:
            KeyError: no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)
