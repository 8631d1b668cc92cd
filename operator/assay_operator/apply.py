"""Carries out what was decided. Every action is safe twice: names are fixed, removal names a uid, writes are applied."""

from __future__ import annotations

from collections.abc import Awaitable

from assay_api.evaljob import EvalJob
from assay_operator.actions import (
    Action,
    CreateJob,
    DeleteEvalJob,
    DeleteJob,
    SetFinalizer,
    SetJob,
    SetWorkload,
)
from assay_operator.api_server import EVALJOBS, JOBS, WORKLOADS, ApiError, ApiServer, Json
from assay_operator.draft import Decision
from assay_operator.names import FINALIZER, MANAGER, SCALER, Step
from assay_operator.observed import Observed
from assay_operator.render import render

_TERMINATING = "NamespaceTerminating"


class JobRefused(Exception):
    """The API server will not have the Job of a step as it is: a quota, a policy, or a mistake in job or runtime."""

    def __init__(self, step: Step, error: ApiError) -> None:
        super().__init__(f"the Job of step {step} was refused: {error.message}")
        self.step, self.error = step, error
        self.namespace_ends = _TERMINATING in error.causes


class Applier:
    """Carries out decisions on the API server."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def carry_out(self, seen: Observed, decision: Decision) -> None:
        """Do everything that `decision` asks for.

        Raises:
            JobRefused: a Job cannot be made as it is.
            ApiError: an action was refused or got no answer; the rest is decided anew.
        """
        # The plan and the address of the run may have been learned in this very decision.
        job = seen.job.model_copy(update={"status": decision.status})
        # The finalizer comes last: its change makes the version that the others were decided from an old one.
        for action in sorted(decision.actions, key=lambda action: isinstance(action, SetFinalizer)):
            try:
                await self._do(seen, job, action)
            except ApiError as error:
                if isinstance(action, CreateJob) and error.status in (400, 403, 422):
                    raise JobRefused(action.step, error) from error
                raise

    async def write_status(self, raw: Json, status: Json) -> None:
        """Replace the status, unless the object has changed since it was read.

        Raises:
            ApiError: 409 when it has.
        """
        await self._api.apply(EVALJOBS, status_body(raw, status), manager=MANAGER, subresource="status")

    async def release(self, raw: Json) -> None:
        """Take the operator's finalizer off an object."""
        meta = raw["metadata"]
        names = [name for name in meta.get("finalizers") or [] if name != FINALIZER]
        patch = {"metadata": {"finalizers": names, "resourceVersion": meta["resourceVersion"]}}
        await _unless_gone(self._api.merge(EVALJOBS, meta["namespace"], meta["name"], patch))

    async def _do(self, seen: Observed, job: EvalJob, action: Action) -> None:
        namespace, name = job.metadata.namespace, job.metadata.name
        match action:
            case CreateJob(step):
                await self._create(seen, job, step)
            case DeleteJob(child, uid):
                await self._api.delete(JOBS, namespace, child, uid)
            case SetJob(child, uid, replicas, suspend):
                await self._set_job(namespace, child, uid, replicas, suspend)
            case SetWorkload(workload, active):
                await _unless_gone(self._api.merge(WORKLOADS, namespace, workload, {"spec": {"active": active}}))
            case SetFinalizer(present):
                await self._set_finalizer(seen, present=present)
            case DeleteEvalJob():
                await self._api.delete(EVALJOBS, namespace, name, seen.uid)

    async def _create(self, seen: Observed, job: EvalJob, step: Step) -> None:
        if seen.runtime is None:
            return
        try:
            await self._api.apply(JOBS, render(step, job, seen.runtime, seen.baselines), manager=MANAGER)
        except ApiError as error:
            if step is Step.DELETE and _TERMINATING in error.causes:
                # Nothing can be started in a namespace that goes; holding the object would hold the namespace for ever.
                await self._set_finalizer(seen, present=False)
                return
            raise

    async def _set_job(self, namespace: str, name: str, uid: str, replicas: int | None, suspend: bool | None) -> None:
        spec: Json = {} if replicas is None else {"parallelism": replicas, "completions": replicas}
        spec |= {} if suspend is None else {"suspend": suspend}
        meta = {"name": name, "namespace": namespace, "uid": uid}
        body = {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": meta, "spec": spec}
        try:
            await self._api.apply(JOBS, body, manager=SCALER)
        except ApiError as error:
            # 409: the Job with this uid is gone.
            if error.status not in (404, 409):
                raise

    async def _set_finalizer(self, seen: Observed, *, present: bool) -> None:
        # Not applied: that would remove only a finalizer that this manager has set, and one may come with a restored object.
        others = [name for name in seen.finalizers if name != FINALIZER]
        names = [*others, FINALIZER] if present else others
        patch = {"metadata": {"finalizers": names, "resourceVersion": seen.version}}
        meta = seen.job.metadata
        await _unless_gone(self._api.merge(EVALJOBS, meta.namespace, meta.name, patch))


def status_body(raw: Json, status: Json) -> Json:
    """What to apply for the object `raw` to have this status, unless it has changed since it was read."""
    identity = {name: raw["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    return {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": identity, "status": status}


async def _unless_gone(call: Awaitable[Json]) -> None:
    try:
        await call
    except ApiError as error:
        if error.status != 404:
            raise
