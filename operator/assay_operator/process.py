"""The running operator behind the watches: queue, workers, resync, Lease, health and metrics, put together.

Nothing here knows kopf: what its watches tell comes in through `Process.saw_…`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import Any

import aiohttp
from aiohttp import web
from kubernetes.aio.client import ApiClient

from assay_operator.api_server import EVALJOBS, JOBS, PODS, RUNTIMES, ApiError, ApiServer, Resource
from assay_operator.apply import Applier
from assay_operator.complaints import Complaints
from assay_operator.controller import Controller
from assay_operator.lease import Leadership
from assay_operator.metrics import Metrics
from assay_operator.names import MANAGED_BY, OURS
from assay_operator.observe import Observer
from assay_operator.pace import gathered_seconds
from assay_operator.progress import Scraper
from assay_operator.schedules.keeper import Schedules
from assay_operator.settings import Settings
from assay_operator.watched import Key, News, Watched
from assay_operator.work_queue import WorkQueue

STALE_SECONDS = 180.0
"""A watch that owes a change for longer than this makes the operator unhealthy."""
_COMPARE_EVERY = 60.0
_RECONCILE_SECONDS = 120.0
_PATIENT = 8
"""One in so many of the workers looks at what can wait too: under load the others' calls are not slowed down by it, and looks
that wait become one."""

log = logging.getLogger("assay.operator")

Raw = Mapping[str, Any]


class Process:
    """One operator process."""

    def __init__(self, settings: Settings, client: ApiClient, session: aiohttp.ClientSession) -> None:
        random = SystemRandom()
        self._settings, self.metrics = settings, Metrics(time.time)
        self._api = ApiServer(client, self.metrics.called)
        self._watched = Watched(time.monotonic)
        self._queue: WorkQueue[Key] = WorkQueue(random, time.monotonic, self.metrics.taken)
        self._leadership = Leadership(self._api, settings.lease_namespace, settings.lease_name, settings.identity, _now)
        self._ready = asyncio.Event()
        complaints = Complaints(self._api, _now, time.monotonic)
        self._controller = Controller(
            self._api,
            self._watched,
            Observer(self._api, self._watched, Scraper(session, random), complaints),
            Applier(self._api),
            now=_now,
            identity=settings.identity,
        )
        told = self.metrics.schedule_reconciled
        self._schedules = Schedules(self._api, self._watched.runtime_named, complaints, settings, _now, told)

    def saw_evalschedule(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of an EvalSchedule."""
        self._schedules.saw_schedule(raw, gone=gone)

    def saw_evaljob(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of an EvalJob."""
        if key := self._watched.evaljob(raw, gone=gone):
            self._queue.add(key, first=True)
        self._schedules.saw_evaljob(raw, gone=gone)

    def saw_runtime(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of a runtime."""
        for key in self._watched.runtime(raw, gone=gone):
            self._queue.add(key)
        self._schedules.saw_runtime(raw)

    def saw_job(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of a child Job."""
        if self._schedules.saw_child(raw):
            return
        self._hear(self._watched.job(raw, gone=gone))

    def saw_pod(self, raw: Raw, *, gone: bool) -> None:
        """A watch told of a pod."""
        if self._schedules.saw_child(raw):
            return
        self._hear(self._watched.pod(raw, gone=gone))

    def _hear(self, news: News | None) -> None:
        if news is None:
            return
        if news.decides:
            self._queue.add(news.key, first=True)
        else:
            self._queue.add_later(news.key, gathered_seconds(self._watched.going))

    async def run(self) -> None:
        """Act as an operator until cancelled.

        Raises:
            LeaseLost: another process may lead now; this one must end.
        """
        servers = [await self._serve(self._settings.health_port), await self._serve(self._settings.metrics_port)]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leadership.hold())
                group.create_task(self._keep_comparing())
                group.create_task(self._get_ready())
                group.create_task(self._schedules.run(self._ready))
                for number in range(self._settings.workers):
                    group.create_task(self._work(only_first=number >= max(1, self._settings.workers // _PATIENT)))
        finally:
            await self._leadership.release()
            for server in servers:
                await server.cleanup()

    async def _get_ready(self) -> None:
        """Read what there is once this process leads: what a watch has not told yet must not count as absent."""
        await self._leadership.leading.wait()
        labels = ",".join(f"{name}={value}" for name, value in OURS.items())
        while True:
            try:
                for raw in (await self._api.list(RUNTIMES, None)).items:
                    self.saw_runtime(_of_kind(RUNTIMES, raw), gone=False)
                for namespace in self._settings.namespaces or (None,):
                    async for page in self._api.pages(PODS, namespace, labels=labels):
                        for raw in page.items:
                            self.saw_pod(raw, gone=False)
            except ApiError as error:
                log.warning("looking around: %s; trying again", error)
                await asyncio.sleep(1.0)
            else:
                self._ready.set()
                return

    async def _work(self, *, only_first: bool) -> None:
        await self._ready.wait()
        while True:
            key = await self._queue.take(only_first=only_first)
            started = time.monotonic()
            outcome, failed, again = "error", False, None
            try:
                async with asyncio.timeout(_RECONCILE_SECONDS):
                    ended = await self._controller.reconcile(key)
                outcome, again = ended.name, ended.again_in
            except (ApiError, TimeoutError) as error:
                log.warning("%s/%s: %s; trying again", *key, str(error) or "no end in time")
                failed = True
            except Exception:
                log.exception("%s/%s: a defect; trying again", *key)
                failed = True
            finally:
                self._queue.done(key, failed=failed, again_in=again, undone=outcome == "conflict")
                self.metrics.reconciled(outcome, time.monotonic() - started)

    async def _keep_comparing(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(_COMPARE_EVERY)
            try:
                for key in await self._compare():
                    self._queue.add(key)
                if time.monotonic() - looked >= self._settings.resync:
                    looked = time.monotonic()
                    await self._resync()
            except ApiError as error:
                log.warning("listing: %s", error)

    async def _compare(self) -> list[Key]:
        items: list[Raw] = []
        version = ""
        for namespace in self._settings.namespaces or (None,):
            async for page in self._api.pages(EVALJOBS, namespace, metadata_only=True):
                items += [_identity(raw) for raw in page.items]
                # The first is the oldest: what came later is not owed.
                version = version or page.version
        return self._watched.listed(items, version)

    async def _resync(self) -> None:
        before = _now() - timedelta(seconds=_COMPARE_EVERY)
        labels = f"{MANAGED_BY}={OURS[MANAGED_BY]}"
        alive: set[str] = set()
        for namespace in self._settings.namespaces or (None,):
            for resource in (JOBS, PODS) if self._watched.has_children else ():
                async for page in self._api.pages(resource, namespace, labels=labels, metadata_only=True):
                    alive |= {raw["metadata"]["uid"] for raw in page.items}
        self._watched.sweep(alive, before)
        for key in self._watched.unfinished():
            self._queue.add(key)

    async def _serve(self, port: int) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._show_metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, port).start()
        return runner

    async def _healthz(self, _: web.Request) -> web.Response:
        age = self._watched.age
        if age > STALE_SECONDS:
            return web.Response(status=503, text=f"the watch owes a change for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def _show_metrics(self, _: web.Request) -> web.Response:
        # In a thread: with thousands of jobs it takes a part of a second, in which events and calls must go on.
        text = await asyncio.to_thread(
            self.metrics.render,
            depth=len(self._queue),
            oldest=self._queue.oldest,
            age=self._watched.age,
            leads=self._leadership.leading.is_set(),
            jobs=self._watched.seen.copy(),
            schedules=self._schedules.seen.copy(),
        )
        return web.Response(body=text, content_type="text/plain", charset="utf-8")


def _of_kind(resource: Resource, raw: Raw) -> Raw:
    """An item of a listing, which leaves out what it is."""
    return {**raw, "apiVersion": resource.api_version, "kind": resource.kind}


def _identity(raw: Raw) -> Raw:
    """Of an object what tells it from others and from its earlier versions."""
    return {"metadata": {name: raw["metadata"].get(name) for name in ("namespace", "name", "uid", "resourceVersion")}}


def _now() -> datetime:
    return datetime.now(UTC)
