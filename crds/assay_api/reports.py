"""What a pod says when it ends: the one small message that Kubernetes carries from a container to its status.

The operator holds no store credentials; these messages are how it learns the plan's numbers, the headline results and why
a pod failed. A container's message may have 4,096 bytes, so every report keeps within `LARGEST`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from assay_api.base import Record
from assay_api.exposition import LONGEST_CLASS, MOST_CLASSES
from assay_api.records import Digest
from assay_api.texts import CheckpointName
from assay_api.verdicts import Verdict

LARGEST = 4096
"""Bytes of one termination message, by the kubelet's limit."""


class Planned(Record):
    """A planner's last word: the plan in numbers."""

    schema_: Literal["assay/planned/v1"] = Field(default="assay/planned/v1", alias="schema")
    plan: Digest
    run: str
    """Address of the run."""
    samples: int = Field(ge=0)
    chunks: int = Field(ge=0)
    storage_mode: Literal["conditional", "fallback"]
    storage_reason: Annotated[str, StringConstraints(max_length=500)] = ""
    """What the probe of the store saw, as a sentence."""


class Headline(Record):
    """One number of the results, as text."""

    task: str
    metric: str
    """With the filter in brackets when there is one."""
    value: str
    stderr: str | None = None
    ci_low: str | None = None
    ci_high: str | None = None
    n: int = Field(ge=0)
    errors: int = Field(default=0, ge=0)


class GateWord(Record):
    """The verdict on one gate; which score it is about, the job says."""

    name: str
    verdict: Verdict
    message: str = ""


ErrorName = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_CLASS)]


class Reduced(Record):
    """A reducer's last word: what came out, as much of it as fits."""

    schema_: Literal["assay/reduced/v1"] = Field(default="assay/reduced/v1", alias="schema")
    plan: Digest
    results: Digest
    """SHA-256 of results.json."""
    samples: int = Field(ge=0)
    errors: int = Field(ge=0)
    errors_by_class: dict[ErrorName, Annotated[int, Field(ge=0)]] = Field(default_factory=dict, max_length=MOST_CLASSES)
    """The same by class; where there are more, the rarest are one, `other`."""
    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)
    headlines: tuple[Headline, ...] = ()
    omitted: int = Field(default=0, ge=0)
    """Numbers that are in results.json only."""
    gates: tuple[GateWord, ...] = ()
    """All of them, whatever else is omitted; messages are cut to what fits."""


class Landed(Record):
    """A checkpoint that a watcher tells of."""

    number: int = Field(ge=1)
    name: CheckpointName


class Watched(Record):
    """A watcher's last word: checkpoints that have landed and that nobody was told of yet, as many as fit, in their order."""

    schema_: Literal["assay/watched/v1"] = Field(default="assay/watched/v1", alias="schema")
    found: tuple[Landed, ...] = ()
    """Numbered without a gap, from the one after the last that was acknowledged."""


class Ended(Record):
    """The last word of a command that failed."""

    schema_: Literal["assay/ended/v1"] = Field(default="assay/ended/v1", alias="schema")
    code: int
    """Exit code."""
    kind: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """Class of the failure, such as `SpecError`, `StoreDenied` or `TooManyErrors`."""
    message: str
    """The sentence for the person, cut to what fits."""


Report = Planned | Reduced | Watched | Ended
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="schema_")])


def read_report(text: str) -> Report | None:
    """The report in a termination message, or None when it holds something else, such as the end of a log."""
    try:
        return _REPORT.validate_json(text)
    except ValidationError:
        return None
