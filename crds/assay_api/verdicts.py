"""`gates.json`: the verdict on every gate of a run, with the figures it stands on.

Written once, after results.json, which it names by its digest: a verdict that was given stays, even where the baseline is
gone later. The numbers of a run never depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from assay_api.base import Record
from assay_api.errors import EXIT_CANNOT_TELL, EXIT_DONE, EXIT_GATE_FAILED
from assay_api.plan import BaselinePin
from assay_api.records import Digest

Verdict = Literal["passed", "failed", "cannot tell"]


class GateVerdict(Record):
    """One gate and its verdict. What is not known is None."""

    name: str
    task: str
    """Task or group."""
    metric: str
    """As in results.json."""
    filter: str = "none"
    higher_is_better: bool
    verdict: Verdict
    message: str
    """The verdict in words, with what to do when it cannot be told."""
    value: float | None = None
    """Of this run; with a baseline over the questions that have a score in both runs."""
    reference: float | None = None
    """The bound, or the baseline's value over the same questions."""
    smallest_difference: float | None = None
    baseline: BaselinePin | None = None
    difference: float | None = None
    """`value` − `reference`."""
    ci_low: float | None = None
    """95 % interval of the difference."""
    ci_high: float | None = None
    p_value: float | None = None
    """Two-sided, of no difference to the baseline; None for a bound, of which the interval says it."""
    method: str = "none"
    """How the interval was made, as in results.json (bounds) or in a comparison (baselines)."""
    n: int = Field(default=0, ge=0)
    """Documents behind the figures."""
    clusters: int | None = None
    left_out: int = Field(default=0, ge=0)
    """Documents without a score in one of the runs, or in both."""
    detectable: float | None = None
    """The smallest difference that these documents would show at 5 % in four of five tries."""
    needed: int | None = None
    """When it cannot be told: documents, of the same kind and in such clusters, with which it could be."""
    notes: tuple[str, ...] = ()
    """What differs between the two runs besides the model, A being the baseline."""


class Gates(Record):
    """All verdicts of a run, in the order of the plan."""

    schema_: Literal["assay/gates/v1"] = Field(default="assay/gates/v1", alias="schema")
    plan: Digest
    results: Digest
    """SHA-256 of the results.json that was judged."""
    verdicts: tuple[GateVerdict, ...]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """What a command ends with that waited for them: a failure outranks what cannot be told."""
    given = set(verdicts)
    if "failed" in given:
        return EXIT_GATE_FAILED
    return EXIT_CANNOT_TELL if "cannot tell" in given else EXIT_DONE
