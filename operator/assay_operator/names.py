"""Names and labels of what the operator makes: deterministic, so that making a thing twice makes it once.

A child's name holds a part of the owner's uid: a job that is deleted and made again under the same name never meets the
children of its predecessor.
"""

from __future__ import annotations

from enum import StrEnum

from assay_api.base import canonical, sha256
from assay_api.evaljob import GROUP, EvalJob, EvalJobSpec, Storage

MANAGER = "assay-operator"
"""Field manager of everything that the operator applies."""
SCALER = "assay-operator-scale"
"""Field manager of the fields of a Job that change while it runs."""
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = {MANAGED_BY: "assay", "app.kubernetes.io/name": "assay"}
JOB, JOB_UID, STEP = f"{GROUP}/job", f"{GROUP}/job-uid", f"{GROUP}/step"
MANIFEST = f"{GROUP}/manifest"
"""Annotation of the plan pod that holds the job for the planner."""
SPEC_DIGEST = f"{GROUP}/spec-digest"
INPUT_DIGEST = f"{GROUP}/input-digest"
TEMPLATE_DIGEST = f"{GROUP}/template-digest"
FINALIZER = f"{GROUP}/reclaim"

_LONGEST_PREFIX = 35
"""Characters of the EvalJob's name in a child's, so that pod names stay within 63 characters."""


class Step(StrEnum):
    """What a pod does."""

    PLAN = "plan"
    WORK = "work"
    REDUCE = "reduce"
    DELETE = "delete"


def child_name(name: str, uid: str, step: str) -> str:
    """Name of the Job that does `step` for the EvalJob or EvalSchedule `name`."""
    prefix = name[:_LONGEST_PREFIX].replace(".", "-").rstrip("-")
    return f"{prefix}-{sha256(uid.encode())[:8]}-{step}"


def labels(name: str, uid: str, step: Step) -> dict[str, str]:
    """Labels of a child and its pods."""
    return OURS | {JOB: name[:63].rstrip("-."), JOB_UID: uid, STEP: step.value}


def selector(uid: str) -> str:
    """Selects the work pods of one EvalJob."""
    return f"{JOB_UID}={uid},{STEP}={Step.WORK}"


def spec_digest(spec: EvalJobSpec) -> str:
    """Digest of what the plan is made from: changing it after planning cannot have an effect."""
    defining = {"model", "tasks", "task_sources", "chunk_size", "seed", "gates"}
    return sha256(canonical(spec.model_dump(mode="json", include=defining, exclude_none=True)))


def input_digest(spec: EvalJobSpec, storage: Storage | None) -> str:
    """Digest of all that a planner works from: what it plans, and where it puts it."""
    place = storage.model_dump(mode="json", exclude_none=True) if storage else None
    return sha256(canonical([spec_digest(spec), place]))


def template_digest(job: EvalJob) -> str:
    """Digest of the user's settings of the work pods; a resumed job runs with the current ones."""
    return sha256(canonical(job.spec.template.model_dump(mode="json", exclude_none=True)))[:16]
