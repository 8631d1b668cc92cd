"""Reconciles one EvalSchedule at a time: look, decide, act, tell. All I/O of the policy of schedules goes through here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from assay_api.errors import from_validation
from assay_api.evalschedule import EvalSchedule
from assay_api.runtime import ClusterEvalRuntime
from assay_api.schedule_status import EvalScheduleStatus
from assay_operator.api_server import EVALJOBS, EVALSCHEDULES, EVENTS, JOBS, PODS, ApiError, ApiServer, Json
from assay_operator.apply import status_body
from assay_operator.complaints import Complaints
from assay_operator.controller import Outcome
from assay_operator.names import MANAGER, STEP
from assay_operator.schedules.decide import decide
from assay_operator.schedules.draft import (
    Action,
    DeleteJob,
    DeleteWatcher,
    Kind,
    StartJob,
    StartWatcher,
    plain,
    refused,
)
from assay_operator.schedules.names import SCHEDULE_UID, WATCH, watcher_name
from assay_operator.schedules.render import evaljob, watcher
from assay_operator.schedules.seen import Child, Seen, child_view
from assay_operator.told import Telling, event
from assay_operator.views import JobView, PodView, job_view, moment, pod_view
from assay_operator.watched import Key, in_order

_TRY_AGAIN = 30.0
_LONGEST = 1000

log = logging.getLogger("assay.operator")


class JobNotMade(Exception):
    """The API server will not have an EvalJob (`kind` is OnTime), or the watching Job (Watching); the text says why."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class ScheduleController:
    """Brings EvalSchedules towards what their specs ask for."""

    def __init__(
        self,
        api: ApiServer,
        runtime_named: Callable[[str], ClusterEvalRuntime | None],
        complaints: Complaints,
        *,
        now: Callable[[], datetime],
        identity: str,
    ) -> None:
        self._api, self._runtime_named, self._complaints = api, runtime_named, complaints
        self._now, self._identity = now, identity

    async def reconcile(self, key: Key) -> Outcome:
        """Look at the EvalSchedule at `key` and do what is due.

        Raises:
            ApiError: to be tried again.
        """
        raw = await self._api.get(EVALSCHEDULES, *key)
        if raw is None:
            return Outcome("gone")
        try:
            schedule = EvalSchedule.model_validate({**raw, "status": None})
            # A newer operator may have written more than this one knows.
            status = EvalScheduleStatus.model_validate(raw.get("status") or {}, extra="ignore")
        except ValidationError as error:
            return await self._tell_unreadable(raw, error)
        now = self._now().replace(microsecond=0)
        seen = await self._observe(schedule, status, raw)
        decision = decide(seen, now)
        try:
            # What is new comes before what it replaces goes.
            for action in sorted(decision.actions, key=lambda action: isinstance(action, DeleteJob)):
                await self._do(seen, action)
        except JobNotMade as error:
            log.warning("%s/%s: %s", *key, error)
            decision = refused(seen, now, error.kind, str(error)[:_LONGEST], _TRY_AGAIN)
        if decision.status == status:
            return Outcome("done" if decision.actions else "unchanged", decision.requeue)
        return await self._write(raw, plain(decision.status), decision.events) or Outcome("done", decision.requeue)

    async def _write(self, raw: Json, status: Json, events: Iterable[Telling]) -> Outcome | None:
        """Write the status and tell of it; how the reconciliation ends when that cannot be."""
        try:
            await self._api.apply(EVALSCHEDULES, status_body(raw, status), manager=MANAGER, subresource="status")
        except ApiError as error:
            if error.status == 409:
                return Outcome("conflict", 0.05)
            if error.status == 404:
                return Outcome("gone")
            raise
        for told in events:
            await self._tell(raw, told)
        return None

    async def _observe(self, schedule: EvalSchedule, status: EvalScheduleStatus, raw: Json) -> Seen:
        meta = raw["metadata"]
        name, namespace, uid = meta["name"], meta["namespace"], meta["uid"]
        listing = await self._api.list(EVALJOBS, namespace, labels=f"{SCHEDULE_UID}={uid}")
        children = [child for item in listing.items if (child := child_view(item, name, uid)) is not None]
        job, pods, said = await self._watcher(name, namespace, uid) if schedule.spec.watch else (None, (), {})
        now = self._now()
        return Seen(
            schedule=schedule,
            status=status,
            uid=uid,
            generation=meta.get("generation") or 0,
            created=moment(meta.get("creationTimestamp")) or now,
            deleting=bool(meta.get("deletionTimestamp")),
            runtime=self._runtime_named(schedule.spec.template.spec.runtime_ref.name),
            children=tuple(sorted(children, key=_age)),
            watcher=job,
            pods=pods,
            complaints=said,
        )

    async def _watcher(
        self, name: str, namespace: str, uid: str
    ) -> tuple[JobView | None, tuple[PodView, ...], Mapping[str, str]]:
        raw = await self._api.get(JOBS, namespace, watcher_name(name, uid))
        if raw is None:
            return None, (), {}
        job = job_view(raw)
        listing = await self._api.list(PODS, namespace, labels=f"{SCHEDULE_UID}={uid},{STEP}={WATCH}")
        pods = in_order(pod for pod in map(pod_view, listing.items) if pod.owner == job.uid)
        return job, pods, await self._complaints.about(namespace, [(job, pods)])

    async def _do(self, seen: Seen, action: Action) -> None:
        namespace, what = seen.schedule.metadata.namespace, seen.schedule.spec.watch
        match action:
            case StartJob():
                await self._start(seen, evaljob(seen.schedule, action))
            case DeleteJob(name, uid):
                await self._api.delete(EVALJOBS, namespace, name, uid)
            case StartWatcher(after):
                if what is None or seen.runtime is None:
                    return
                try:
                    await self._api.apply(JOBS, watcher(seen.schedule, what, seen.runtime, after), manager=MANAGER)
                except ApiError as error:
                    raise _not_made("Watching", "The watching Job", error) from error
            case DeleteWatcher(name, uid):
                await self._api.delete(JOBS, namespace, name, uid)

    async def _start(self, seen: Seen, body: Json) -> None:
        # Created and not applied: one that is there already may have been changed by its user since.
        meta = body["metadata"]
        try:
            await self._api.create(EVALJOBS, body)
        except ApiError as error:
            if error.status != 409:
                raise _not_made("OnTime", f"EvalJob {meta['name']}", error) from error
            there = await self._api.get(EVALJOBS, meta["namespace"], meta["name"])
            if there is not None and child_view(there, seen.schedule.metadata.name, seen.uid) is None:
                raise JobNotMade(
                    "OnTime",
                    f"EvalJob {meta['name']} cannot be made: another one has this name; delete it, or rename the schedule.",
                ) from error

    async def _tell(self, raw: Json, told: Telling) -> None:
        try:
            await self._api.create(EVENTS, event(told, raw, self._now(), self._identity))
        except ApiError as error:
            # What matters is in the conditions too.
            log.warning("no Event about %s: %s", raw["metadata"]["name"], error)

    async def _tell_unreadable(self, raw: Json, error: ValidationError) -> Outcome:
        message = str(from_validation(error, f"EvalSchedule {raw['metadata']['name']}", EvalSchedule))[:_LONGEST]
        status: dict[str, Any] = dict(raw.get("status") or {})
        before: Json = next((item for item in status.get("conditions") or [] if item.get("type") == "Accepted"), {})
        if before.get("message") == message:
            return Outcome("unreadable")
        others = [item for item in status.get("conditions") or [] if item.get("type") != "Accepted"]
        accepted = {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": message}
        since = {"lastTransitionTime": self._now().strftime("%Y-%m-%dT%H:%M:%SZ")}
        told = Telling(True, "InvalidSpec", message)
        unwritten = await self._write(
            raw, status | {"conditions": [accepted | since, *others], "note": message[:400]}, [told]
        )
        return unwritten or Outcome("unreadable")


def _not_made(kind: Kind, what: str, error: ApiError) -> Exception:
    """The error when the API server would not have `what`; any other error is tried again as it is."""
    return JobNotMade(kind, f"{what} cannot be made: {error.message}") if error.status in (400, 403, 422) else error


def _age(child: Child) -> tuple[float, int]:
    return (child.created.timestamp() if child.created else 0.0, child.number)
