"""What comes out: `results.json` (a function of plan and records alone) and `run.json` (how it went).

`results.json` carries no time, no host and no rate, so its bytes are the same for every history of the run.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from assay_api.base import Record


class MetricResult(Record):
    """One metric of one task with its uncertainty."""

    metric: str
    filter: str = "none"
    value: float | dict[str, float | None] | None
    """None when no document has an item for it; a mapping when the aggregation gives several numbers."""
    higher_is_better: bool = True
    n: int = Field(ge=0)
    """Documents behind the value."""
    clusters: int | None = None
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    method: str
    """How the interval was made: `wilson`, `t`, `clustered-t`, `bootstrap`, `cluster-bootstrap`,
    `normal` (groups), `none`."""


class TaskResult(Record):
    """All metrics of one task and what they cover."""

    task: str
    alias: str | None = None
    version: str | None = None
    metrics: tuple[MetricResult, ...]
    documents: int = Field(ge=0)
    samples: int = Field(ge=0)
    errors: dict[str, int] = Field(default_factory=dict)
    """Failed samples by class of error."""
    data: str
    """Fingerprint of the documents."""


class GroupResult(Record):
    """Metrics over several tasks."""

    group: str
    tasks: tuple[str, ...]
    metrics: tuple[MetricResult, ...]


class Coverage(Record):
    """How much of the plan the metrics stand on. `samples` = `scored` + `errors`, always."""

    samples: int = Field(ge=0)
    scored: int = Field(ge=0)
    errors: int = Field(ge=0)
    chunks: int = Field(ge=0)


class Results(Record):
    """What came out of a run."""

    schema_: Literal["assay/results/v1"] = Field(default="assay/results/v1", alias="schema")
    plan: str
    """Digest of the plan."""
    job: str
    model: dict[str, Any]
    determinism: Literal["exact", "best-effort"]
    tasks: tuple[TaskResult, ...]
    groups: tuple[GroupResult, ...] = ()
    coverage: Coverage


class Percentiles(Record):
    """Percentiles pooled over all samples, in seconds."""

    p50: float
    p90: float
    p99: float
    max: float


class Histogram(Record):
    """How often a measure fell between two edges; the last class includes its upper edge."""

    edges: tuple[float, ...] = Field(min_length=2)
    """Ascending, one more than there are counts."""
    counts: tuple[int, ...]


class Interval(Record):
    """A stretch of a run. A chunk's counts are spread evenly over the time it took, so they need not be whole."""

    samples: float
    errors: float
    tokens_out: float
    latency: Percentiles | None = None
    """Of the chunks that were finished in it."""


class Timeline(Record):
    """A run over time, in intervals of equal length, by the clocks of the workers."""

    start: float
    """In seconds since 1970 (UTC)."""
    seconds: float = Field(gt=0)
    """Length of an interval."""
    intervals: tuple[Interval, ...]


class WorkerReport(Record):
    """What one worker did."""

    worker: str
    samples: int
    chunks: int
    errors: int
    busy_seconds: float


class Goodput(Record):
    """Successful work per second of a run, pooled over its workers."""

    seconds: float = Field(gt=0)
    """From the start of the first chunk to the end of the last, by the clocks of the workers."""
    samples: float
    tokens_out: float


class Stages(Record):
    """Seconds of all samples in each stage. Stages overlap, so they add up to more than the run took."""

    queue: float
    decoding: float
    encoding: float
    generating: float
    scoring: float


class RunReport(Record):
    """How the run went: times, tokens, latency, workers. Overwritten freely; no number of the results depends on it."""

    schema_: Literal["assay/run/v1"] = Field(default="assay/run/v1", alias="schema")
    plan: str
    storage_mode: Literal["conditional", "fallback"]
    storage_reason: str = ""
    """What the probe of the store saw."""
    pins: dict[str, str] = Field(default_factory=dict)
    """In fallback mode: record file → digest, as the reducer read them."""
    samples: int
    errors: int
    tokens_in: int
    tokens_out: int
    latency: Percentiles | None = None
    first_token: Percentiles | None = None
    queue: Percentiles | None = None
    tokens_reasoning: int = 0
    """Of `tokens_out`."""
    stages: Stages | None = None
    goodput: Goodput | None = None
    """None when the workers did not say when they finished their chunks."""
    accelerator_seconds: float | None = None
    """Over all workers, from their first work to their last, times the accelerators each holds; 0 on CPUs and for endpoints."""
    latency_histogram: Histogram | None = None
    timeline: Timeline | None = None
    """None when the workers did not say when they finished their chunks."""
    retried: int = 0
    """Samples that needed more than one attempt."""
    doubled_chunks: int = 0
    """Chunks that were done more than once; the first commit counted."""
    workers: tuple[WorkerReport, ...] = ()
    wall_seconds: float | None = None
    report_failure: str | None = None
    """Why report.html could not be written; None when it was."""
