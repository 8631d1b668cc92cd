"""`spec.gates`: what a model must reach before it counts as good, written down before its numbers are seen.

A gate compares a score with a fixed bound or with a finished run, always by intervals. The answer is `passed`, `failed` or
`cannot tell`; which of them is computed by the reducer, see docs/gates.md.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from assay_api.base import Spec
from assay_api.rules import Rule, checked
from assay_api.texts import Name, Uri

MOST_GATES = 32
"""Gates of one job: the names and verdicts of so many fit a pod's last word, whatever else does not."""

GateName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]

ONE_BASELINE = Rule(
    "has(self.run) != has(self.evalJob)",
    "a baseline names both or neither of run and evalJob; give exactly one",
)
_BASELINE_IS_REACHABLE = Rule(
    "!has(self.run) || self.run.startsWith('s3://') || self.run.startsWith('file:///')",
    "pods cannot read a relative folder; use the run's address, s3://… or file:///… on a volume of the runtime, or evalJob",
    ".run",
)
ONE_CRITERION = Rule(
    "(has(self.minimum) ? 1 : 0) + (has(self.maximum) ? 1 : 0) + (has(self.baseline) ? 1 : 0) == 1",
    "a gate has one criterion; give exactly one of minimum, maximum and baseline",
)
BASELINE_HAS_DIFFERENCE = Rule(
    "has(self.baseline) == has(self.smallestDifference)",
    "baseline and smallestDifference belong together; give both, the second being the drop that matters, or neither",
)


class Baseline(Spec):
    """The finished run that the model is held against."""

    model_config = Spec.model_config | {"json_schema_extra": checked(ONE_BASELINE, _BASELINE_IS_REACHABLE)}

    run: Uri | None = Field(
        default=None,
        description="Address of a finished run, as assay plan prints it and status.plan.runUri shows it; it is read with "
        "this job's credentials. On a laptop also a folder.",
    )
    eval_job: Name | None = Field(
        default=None,
        description="Name of an EvalJob of the same namespace; this job waits until that one is complete.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.run is None) == (self.eval_job is None):
            raise ValueError(ONE_BASELINE.sentence)
        return self


class Gate(Spec):
    """One condition on one score. Whether lower or higher is better is known of the metric."""

    model_config = Spec.model_config | {"json_schema_extra": checked(ONE_CRITERION, BASELINE_HAS_DIFFERENCE)}

    name: GateName = Field(description="Name of the gate, by which its verdict is told.")
    task: _Text = Field(description="Task or group of this job whose score is judged.")
    metric: _Text = Field(
        description="Metric as results.json has it; of a task with repeats the plain name means the average of them."
    )
    filter: _Text | None = Field(
        default=None, description="The metric's filter; needed only where the task scores the metric behind several."
    )
    minimum: _Number | None = Field(
        default=None, description="The lowest good value, for metrics of which higher is better."
    )
    maximum: _Number | None = Field(
        default=None, description="The highest good value, for metrics of which lower is better."
    )
    baseline: Baseline | None = Field(
        default=None, description="The run that the model is compared with, question by question."
    )
    smallest_difference: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        allow_inf_nan=False,
        description="The smallest drop against the baseline that matters, in units of the metric; it passes when such a "
        "drop is ruled out.",
    )

    @model_validator(mode="after")
    def _one_criterion(self) -> Self:
        if sum(given is not None for given in (self.minimum, self.maximum, self.baseline)) != 1:
            raise ValueError(ONE_CRITERION.sentence)
        if (self.baseline is None) != (self.smallest_difference is None):
            raise ValueError(BASELINE_HAS_DIFFERENCE.sentence)
        return self
