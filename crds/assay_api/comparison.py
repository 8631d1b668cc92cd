"""What `assay compare --json` prints: two runs side by side, each difference with its uncertainty and a sentence.

A function of the two runs' plans, records and results alone: it names no address and no time, so the same runs give the
same bytes wherever they lie. A is the baseline, B the candidate; every difference is B − A.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from assay_api.base import Record

Verdict = Literal["better", "worse", "undecided", "identical", "unknown"]
"""What can be said of B at 5 %, all comparisons of its family together; `unknown` where there is no p-value."""


class ComparedRun(Record):
    """One of the two runs."""

    job: str
    plan: str
    """Digest of the plan."""
    results: str
    """SHA-256 of results.json."""
    backend: str
    model: str
    assay_version: str


class McNemar(Record):
    """The exact McNemar test of zeros and ones. It takes documents for independent, in clusters too."""

    p_value: float


class UsualErrors(Record):
    """The cluster-robust error without Bell and McCaffrey's reduction, as common regression software gives it (CR1, G − 1
    degrees of freedom): for checking against other tools."""

    stderr: float
    p_value: float


class Bounds(Record):
    """The least and the greatest difference over all documents, whatever the missing scores (between 0 and 1) would be."""

    low: float
    high: float


class MetricComparison(Record):
    """One metric of one task, or of one group, in both runs."""

    metric: str
    """As in results.json: with repeats, `exact_match:avg@4`."""
    filter: str = "none"
    headline: bool
    """Whether it is one of the figures that the comparison is read by: those of groups, and the first metric of every task
    that is in no compared group. Headlines are one family for `p_adjusted`, all other rows another."""
    higher_is_better: bool
    n: int = Field(ge=0)
    """Documents that have a score in both runs; the figures stand on these alone."""
    clusters: int | None = None
    left_out: int = Field(default=0, ge=0)
    """Documents without a score in one of the runs, or in both."""
    value_a: float | dict[str, float | None] | None
    value_b: float | dict[str, float | None] | None
    difference: float | dict[str, float | None] | None
    """B − A."""
    stderr: float | None = None
    degrees: float | None = None
    """Degrees of freedom of the t distribution behind interval and p-value."""
    ci_low: float | None = None
    """95 % interval of the difference."""
    ci_high: float | None = None
    p_value: float | None = None
    """Two-sided, of no difference."""
    p_adjusted: float | None = None
    """`p_value` after Holm's correction for all comparisons of its family; the verdict is based on it."""
    method: Literal[
        "paired-t", "clustered-t", "sign", "identical", "bootstrap", "cluster-bootstrap", "satterthwaite", "none"
    ]
    """How interval and p-value were made, see docs/compare.md; `none` without them."""
    usual: UsualErrors | None = None
    """For means of documents in clusters."""
    wins: int | None = None
    """Documents on which B is better; like `losses` and `ties` for metrics with one number per document."""
    losses: int | None = None
    ties: int | None = None
    mcnemar: McNemar | None = None
    """For scores that are all 0 or 1."""
    detectable: float | None = None
    """The smallest difference that these documents would show at 5 % in four of five tries."""
    needed: int | None = None
    """Documents for which the difference seen would be the smallest detectable one."""
    bounds: Bounds | None = None
    """With documents left out of a metric whose scores all lie between 0 and 1."""
    note: str | None = None
    """Why there is no p-value."""
    verdict: Verdict
    sentence: str
    """The row in words."""


class TaskComparison(Record):
    """One task of both runs."""

    task: str
    alias: str | None = None
    documents: int = Field(ge=0)
    errors_a: int = Field(ge=0)
    """Failed samples of A."""
    errors_b: int = Field(ge=0)
    asked_differently: int = Field(default=0, ge=0)
    """Samples whose prompt, target or choices differ between the runs, as they do where a task has prompts per model."""
    metrics: tuple[MetricComparison, ...]


class GroupComparison(Record):
    """Metrics over several tasks in both runs."""

    group: str
    tasks: tuple[str, ...]
    metrics: tuple[MetricComparison, ...]


class Comparison(Record):
    """Two runs over the same documents."""

    schema_: Literal["assay/comparison/v1"] = Field(default="assay/comparison/v1", alias="schema")
    a: ComparedRun
    b: ComparedRun
    tasks: tuple[TaskComparison, ...]
    """Those that both runs have, in A's order."""
    groups: tuple[GroupComparison, ...] = ()
    notes: tuple[str, ...] = ()
    """What differs between the runs besides the model and should be known when reading the figures."""
