"""The Job of each step, as it is applied: deterministic, owned by its EvalJob, with the retry rules of the design."""

from __future__ import annotations

from typing import Any

from assay_api.errors import EXIT_SPEC, EXIT_STOPPED
from assay_api.evaljob import GROUP, VERSION, EvalJob
from assay_api.runtime import ClusterEvalRuntime
from assay_operator.accept import effective_storage
from assay_operator.baselines import Baselines, resolved
from assay_operator.names import (
    INPUT_DIGEST,
    SPEC_DIGEST,
    TEMPLATE_DIGEST,
    Step,
    child_name,
    input_digest,
    labels,
    spec_digest,
    template_digest,
)
from assay_operator.pods import CONTAINER, plan_annotations, pod_spec

RETRIES = 6
"""Failures of a pod (per index of the work Job) that its Job makes up for, with pauses that grow from 10 seconds: about ten
minutes of a store or endpoint that is away. Of single pods preemption counts too."""
_REMOVAL_TTL = 300
_REMOVAL_DEADLINE = 600
"""Seconds: a removal whose Secret is gone must not hold its EvalJob for ever."""

Manifest = dict[str, Any]


def render(step: Step, job: EvalJob, runtime: ClusterEvalRuntime, baselines: Baselines) -> Manifest:
    """The Job that does `step` for `job`.

    Args:
        job: with the metadata and status of the live object.
        baselines: the EvalJobs that its gates name, for the planner.
    """
    uid, name = job.metadata.uid or "", job.metadata.name
    tags = labels(name, uid, step)
    own_labels = job.spec.template.labels if step is Step.WORK else {}
    annotations = dict(runtime.spec.pod_template.annotations)
    meta: Manifest = {
        "name": child_name(name, uid, step),
        "namespace": job.metadata.namespace,
        "labels": dict(tags),
        "annotations": {},
    }
    # A single pod is replaced while it is still going, since it may be on a node that never answers again; two planners or
    # two reducers do no harm. Kubernetes allows that only without a failure policy: `stages.py` sees to exit code 64.
    spec: Manifest = {"backoffLimit": RETRIES, "podReplacementPolicy": "TerminatingOrFailed"}
    match step:
        case Step.PLAN:
            annotations |= plan_annotations(resolved(job, baselines), runtime)
            storage = effective_storage(job, runtime.spec)
            meta["annotations"] = {
                SPEC_DIGEST: spec_digest(job.spec),
                INPUT_DIGEST: input_digest(job.spec, storage),
            }
        case Step.WORK:
            spec = {
                "podFailurePolicy": _FAILURES,
                "podReplacementPolicy": "Failed",
                "completionMode": "Indexed",
                "completions": job.spec.replicas,
                "parallelism": job.spec.replicas,
                "backoffLimitPerIndex": RETRIES,
                "successPolicy": {"rules": [{"succeededCount": 1}]},
            }
            meta["annotations"] = {TEMPLATE_DIGEST: template_digest(job)}
            if job.spec.queue_name is not None:
                meta["labels"]["kueue.x-k8s.io/queue-name"] = job.spec.queue_name
        case Step.DELETE:
            spec |= {"ttlSecondsAfterFinished": _REMOVAL_TTL, "activeDeadlineSeconds": _REMOVAL_DEADLINE}
    if step is not Step.DELETE:
        # The removal outlives its EvalJob for a moment; everything else goes with it.
        meta["ownerReferences"] = [_owner(job)]
    pod_labels = {**runtime.spec.pod_template.labels, **own_labels, **tags}
    pod = pod_spec(step, job, runtime, run_address(job, runtime), job.spec.error_policy.max_error_rate)
    spec["template"] = {"metadata": {"labels": pod_labels, "annotations": annotations}, "spec": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def run_address(job: EvalJob, runtime: ClusterEvalRuntime) -> str:
    """Address of the run: as planned, else where the planner will put it."""
    if job.status is not None and job.status.plan is not None:
        return job.status.plan.run_uri
    storage = effective_storage(job, runtime.spec)
    root = storage.uri.rstrip("/") if storage else ""
    return f"{root}/{job.metadata.namespace}/{job.metadata.name}/{job.metadata.uid}"


def _owner(job: EvalJob) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "EvalJob",
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
    }


_FAILURES: Manifest = {
    "rules": [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [EXIT_SPEC]},
        },
        {
            "action": "Ignore",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [EXIT_STOPPED]},
        },
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
}
