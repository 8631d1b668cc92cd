"""Schedules inside the operator's process: a queue and workers of their own, so that EvalJobs never wait for a schedule.

What the watches tell only says which schedule to look at; all that decides is read when it is looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from random import SystemRandom
from typing import Any

from assay_api.runtime import ClusterEvalRuntime
from assay_operator.api_server import EVALSCHEDULES, ApiError, ApiServer
from assay_operator.complaints import Complaints
from assay_operator.schedules.controller import ScheduleController
from assay_operator.schedules.metrics import ScheduleView, schedule_view
from assay_operator.schedules.names import SCHEDULE_UID
from assay_operator.settings import Settings
from assay_operator.watched import Key
from assay_operator.work_queue import WorkQueue

_WORKERS = 2
_RECONCILE_SECONDS = 120.0

log = logging.getLogger("assay.operator")

Raw = Mapping[str, Any]


class Schedules:
    """All EvalSchedules of one operator process. Used from one event loop."""

    def __init__(
        self,
        api: ApiServer,
        runtime_named: Callable[[str], ClusterEvalRuntime | None],
        complaints: Complaints,
        settings: Settings,
        now: Callable[[], datetime],
        on_reconciled: Callable[[str], None],
    ) -> None:
        """`on_reconciled` is told how each look at a schedule has ended: `done` or `error`."""
        self._api, self._settings = api, settings
        self._queue: WorkQueue[Key] = WorkQueue(SystemRandom(), time.monotonic)
        self._controller = ScheduleController(api, runtime_named, complaints, now=now, identity=settings.identity)
        self._on_reconciled = on_reconciled
        self.seen: dict[Key, ScheduleView] = {}
        """Every EvalSchedule, for metrics."""
        self._keys: dict[str, Key] = {}
        self._asked: dict[str, tuple[Any, ...]] = {}
        """uid of a schedule → what of it is not the operator's own writing."""
        self._runtimes: dict[Key, str] = {}
        self._ended: dict[str, bool] = {}
        """uid of an EvalJob of some schedule → whether it has ended."""

    def saw_schedule(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of an EvalSchedule."""
        meta = raw.get("metadata") or {}
        uid, key = meta.get("uid", ""), (meta.get("namespace", ""), meta.get("name", ""))
        if gone:
            self._keys.pop(uid, None)
            self._asked.pop(uid, None)
            self._runtimes.pop(key, None)
            self.seen.pop(key, None)
            return
        asked = (meta.get("generation"), meta.get("deletionTimestamp"))
        template = ((raw.get("spec") or {}).get("template") or {}).get("spec") or {}
        self._keys[uid] = key
        self.seen[key] = schedule_view(raw)
        self._runtimes[key] = (template.get("runtimeRef") or {}).get("name", "default")
        if self._asked.get(uid) != asked:
            self._asked[uid] = asked
            self._queue.add(key)

    def saw_evaljob(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of an EvalJob: it matters when a schedule made it, and it came, ended or went."""
        meta = raw.get("metadata") or {}
        schedule = (meta.get("labels") or {}).get(SCHEDULE_UID)
        if schedule is None:
            return
        uid, ended = meta.get("uid", ""), (raw.get("status") or {}).get("phase") in ("Complete", "Failed")
        news = gone or self._ended.get(uid) != ended
        if gone:
            self._ended.pop(uid, None)
        else:
            self._ended[uid] = ended
        if news and (key := self._keys.get(schedule)):
            self._queue.add(key)

    def saw_runtime(self, raw: Raw) -> None:
        """A watch told of a runtime."""
        name = (raw.get("metadata") or {}).get("name", "")
        for key in [key for key, used in self._runtimes.items() if used == name]:
            self._queue.add(key)

    def saw_child(self, raw: Raw) -> bool:
        """A watch told of a Job or pod; True when it is a watcher's, and nobody else's business."""
        schedule = ((raw.get("metadata") or {}).get("labels") or {}).get(SCHEDULE_UID)
        if schedule is None:
            return False
        if key := self._keys.get(schedule):
            self._queue.add(key)
        return True

    async def run(self, ready: asyncio.Event) -> None:
        """Follow the schedules, once `ready`, until cancelled."""
        await ready.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_all())
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _look_at_all(self) -> None:
        while True:
            try:
                for namespace in self._settings.namespaces or (None,):
                    for raw in (await self._api.list(EVALSCHEDULES, namespace, metadata_only=True)).items:
                        self._queue.add((raw["metadata"]["namespace"], raw["metadata"]["name"]))
            except ApiError as error:
                log.warning("listing schedules: %s", error)
            await asyncio.sleep(self._settings.resync)

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            outcome, failed, again = "error", False, None
            try:
                async with asyncio.timeout(_RECONCILE_SECONDS):
                    again = (await self._controller.reconcile(key)).again_in
                outcome = "done"
            except (ApiError, TimeoutError) as error:
                log.warning("schedule %s/%s: %s; trying again", *key, str(error) or "no end in time")
                failed = True
            except Exception:
                log.exception("schedule %s/%s: a defect; trying again", *key)
                failed = True
            finally:
                self._queue.done(key, failed=failed, again_in=again)
                self._on_reconciled(outcome)
