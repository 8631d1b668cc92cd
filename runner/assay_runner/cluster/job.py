"""An EvalJob as the API server shows it, read for a person: who it is, how it goes, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import ValidationError

from assay_api.errors import EXIT_FAILED, EXIT_SPEC, Failed
from assay_api.status import Condition, EvalJobStatus
from assay_api.verdicts import exit_code

_WRONG_SPEC = frozenset({"SpecError", "AggregationError"})
"""Reasons of a failure that only another manifest or task can mend: the errors that end a command with 64."""


@dataclass(frozen=True, slots=True)
class Job:
    """One EvalJob at one moment.

    The spec is kept as it came: the API server has checked it, and may know fields that this version does not.
    """

    name: str
    namespace: str
    uid: str
    created: datetime
    deleting: bool
    finalizers: tuple[str, ...]
    spec: Mapping[str, Any]
    status: EvalJobStatus

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read what the API server sent.

        Raises:
            Failed: the status is of a version of Assay that this one does not understand.
        """
        meta = data["metadata"]
        try:
            status = EvalJobStatus.model_validate(data.get("status") or {}, extra="ignore")
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise Failed(
                f"evaljob/{meta['name']}: status.{where} is not understood; use the version of Assay that the cluster runs."
            ) from error
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            created=datetime.fromisoformat(meta["creationTimestamp"]),
            deleting="deletionTimestamp" in meta,
            finalizers=tuple(meta.get("finalizers") or ()),
            spec=data.get("spec") or {},
            status=status,
        )

    @property
    def title(self) -> str:
        """The object as kubectl writes it."""
        return f"evaljob/{self.name}"

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.spec.get("model", {}).get("name", "?"))

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type, when it is True."""
        return next((one for one in self.status.conditions if one.type == kind and one.status == "True"), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, for the shell and for the person."""

    code: int
    """Of a complete job the one that tells the verdicts on its gates."""
    sentence: str


def outcome(job: Job) -> Outcome | None:
    """How the job ended, or None when it has not."""
    if complete := job.condition("Complete"):
        code = exit_code(gate.verdict for gate in job.status.gates)
        return Outcome(code, complete.message or f"{job.title} is complete.")
    if failed := job.condition("Failed"):
        code = EXIT_SPEC if failed.reason in _WRONG_SPEC else EXIT_FAILED
        return Outcome(code, f"{job.title} failed: {failed.message or failed.reason}")
    return None
