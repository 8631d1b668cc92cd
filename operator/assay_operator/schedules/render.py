"""What a schedule makes: EvalJobs from its template, and the Job whose pod watches a prefix."""

from __future__ import annotations

from typing import Any

from assay_api.base import canonical, sha256
from assay_api.evaljob import GROUP, VERSION, EvalJob, ObjectMeta
from assay_api.evalschedule import EvalSchedule, Watch, checkpoint_address, for_checkpoint
from assay_api.runtime import ClusterEvalRuntime
from assay_operator.names import INPUT_DIGEST
from assay_operator.pods import watch_pod
from assay_operator.render import RETRIES, run_address
from assay_operator.schedules.draft import StartJob
from assay_operator.schedules.names import (
    CHECKPOINT,
    SCHEDULED_FOR,
    job_name,
    owned_by,
    watcher_labels,
    watcher_name,
)
from assay_operator.sidecars import literal

PATIENCE_SECONDS = 3600
"""After which a watcher that finds nothing makes way for the next, beyond the time in which a checkpoint settles."""
_SLACK_SECONDS = 1800
"""Beyond its patience, after which a watcher that hangs is ended."""

Manifest = dict[str, Any]


def template_job(schedule: EvalSchedule) -> EvalJob:
    """The template as an EvalJob under the schedule's identity, for what judges and renders EvalJobs."""
    meta = schedule.metadata
    identity = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid)
    spec = schedule.spec.template.spec
    return EvalJob(apiVersion="assay.dev/v1alpha1", kind="EvalJob", metadata=identity, spec=spec)


def evaljob(schedule: EvalSchedule, start: StartJob) -> Manifest:
    """The EvalJob to be made.

    Args:
        schedule: with the metadata of the live object.
    """
    meta, template = schedule.metadata, schedule.spec.template
    annotations, spec = dict(template.metadata.annotations), template.spec
    if start.due is not None:
        annotations[SCHEDULED_FOR] = start.due.strftime("%Y-%m-%dT%H:%M:%SZ")
    if start.checkpoint is not None and schedule.spec.watch is not None:
        address = checkpoint_address(schedule.spec.watch.uri, start.checkpoint)
        annotations[CHECKPOINT] = address
        spec = for_checkpoint(spec, address, start.checkpoint)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "EvalJob",
        "metadata": {
            "name": job_name(meta.name, start.number),
            "namespace": meta.namespace,
            "labels": {**template.metadata.labels, **owned_by(meta.name, meta.uid or "")},
            "annotations": annotations,
            "ownerReferences": [_owner(schedule)],
        },
        "spec": spec.model_dump(mode="json", exclude_none=True),
    }


def watcher(schedule: EvalSchedule, what: Watch, runtime: ClusterEvalRuntime, after: int) -> Manifest:
    """The watching Job, which tells of checkpoints above the number `after`."""
    meta = schedule.metadata
    tags = watcher_labels(meta.name, meta.uid or "")
    annotations = {INPUT_DIGEST: watcher_digest(schedule, runtime)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": watcher_name(meta.name, meta.uid or ""),
            "namespace": meta.namespace,
            "labels": tags,
            "annotations": annotations,
            "ownerReferences": [_owner(schedule)],
        },
        "spec": _watcher_spec(schedule, what, runtime, after),
    }


def watcher_digest(schedule: EvalSchedule, runtime: ClusterEvalRuntime) -> str:
    """Digest of how the watcher runs, whatever it is told to be known: a change makes the one that runs outdated."""
    what = schedule.spec.watch
    return sha256(canonical(_watcher_spec(schedule, what, runtime, 0))) if what else ""


def _watcher_spec(schedule: EvalSchedule, what: Watch, runtime: ClusterEvalRuntime, after: int) -> Manifest:
    job = template_job(schedule)
    patience = PATIENCE_SECONDS + what.settle_seconds
    arguments = [
        *("watch", literal(what.uri), "--numbers", literal(run_address(job, runtime))),
        f"--pattern={literal(what.pattern)}",
        *([f"--ready-file={literal(what.ready_file)}"] if what.ready_file else []),
        *("--settle", str(what.settle_seconds), "--poll", str(what.poll_seconds)),
        *("--patience", str(patience), "--after", str(after)),
    ]
    meta = schedule.metadata
    template = runtime.spec.pod_template
    return {
        "backoffLimit": RETRIES,
        # As for planners: a pod on a node that never answers again must not hold up the next, and two do no harm.
        "podReplacementPolicy": "TerminatingOrFailed",
        "activeDeadlineSeconds": patience + _SLACK_SECONDS,
        "template": {
            "metadata": {
                "labels": {**template.labels, **watcher_labels(meta.name, meta.uid or "")},
                "annotations": dict(template.annotations),
            },
            "spec": watch_pod(job, runtime, arguments),
        },
    }


def _owner(schedule: EvalSchedule) -> Manifest:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "EvalSchedule",
        "name": schedule.metadata.name,
        "uid": schedule.metadata.uid,
        "controller": True,
    }
