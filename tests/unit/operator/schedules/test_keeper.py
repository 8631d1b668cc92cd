"""Which events have a schedule looked at: EvalJobs that others made cost nothing, and those of schedules only when they count."""

import asyncio
from datetime import UTC, datetime

from assay_operator.api_server import Listing
from assay_operator.complaints import Complaints
from assay_operator.schedules.keeper import Schedules
from assay_operator.schedules.names import SCHEDULE_UID
from assay_operator.settings import Settings
from support.schedules import UID, schedule

KEY = ("research", "nightly")


class Silent:
    """An API server without anything."""

    asked = 0

    async def get(self, resource, namespace, name):
        self.asked += 1

    async def list(self, resource, namespace, **_):
        return Listing((), "1")


def of(api):
    def now():
        return datetime(2026, 1, 1, tzinfo=UTC)

    return Schedules(api, lambda name: None, Complaints(api, now, lambda: 0.0), Settings(), now, lambda outcome: None)


def looked(*events):
    """How often the schedule was looked at after each event."""
    api, counts = Silent(), []

    async def run():
        schedules = of(api)
        ready = asyncio.Event()
        ready.set()
        running = asyncio.create_task(schedules.run(ready))
        for event in events:
            event(schedules)
            before = api.asked
            for _ in range(20):
                await asyncio.sleep(0)
            counts.append(api.asked - before)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    return counts


def raw(generation=1):
    there = schedule().model_dump(mode="json", exclude_none=True)
    return there | {"metadata": there["metadata"] | {"generation": generation}}


def job(phase, uid="j", labels=True):
    meta = {"name": "nightly-1", "namespace": "research", "uid": uid, "labels": {SCHEDULE_UID: UID} if labels else {}}
    return {"metadata": meta, "status": {"phase": phase}}


def test_a_schedule_is_looked_at_when_it_comes_and_changes_and_not_for_its_own_status():
    assert looked(
        lambda s: s.saw_schedule(raw(), gone=False),
        lambda s: s.saw_schedule(raw(), gone=False),
        lambda s: s.saw_schedule(raw(2), gone=False),
    ) == [1, 0, 1]


def test_it_is_told_of_until_it_is_gone():
    schedules = of(Silent())
    schedules.saw_schedule(raw(), gone=False)
    assert list(schedules.seen) == [KEY]
    schedules.saw_schedule(raw(), gone=True)
    assert schedules.seen == {}


def test_of_its_evaljobs_only_coming_ending_and_going_count():
    assert looked(
        lambda s: s.saw_schedule(raw(), gone=False),
        lambda s: s.saw_evaljob(job("Planning"), gone=False),
        lambda s: s.saw_evaljob(job("Running"), gone=False),
        lambda s: s.saw_evaljob(job("Complete"), gone=False),
        lambda s: s.saw_evaljob(job("Complete"), gone=False),
        lambda s: s.saw_evaljob(job("Complete"), gone=True),
        lambda s: s.saw_evaljob(job("Complete", labels=False), gone=False),
    ) == [1, 1, 0, 1, 0, 1, 0]


def test_jobs_and_pods_of_watchers_are_its_own_and_all_others_are_not():
    mine, other = job("x"), job("x", labels=False)
    assert looked(
        lambda s: s.saw_schedule(raw(), gone=False),
        lambda s: s.saw_child(mine),
        lambda s: s.saw_child(other),
    ) == [1, 1, 0]
    schedules = of(Silent())
    assert schedules.saw_child(mine) and not schedules.saw_child(other)


def test_a_runtime_has_those_looked_at_that_name_it():
    assert looked(
        lambda s: s.saw_schedule(raw(), gone=False),
        lambda s: s.saw_runtime({"metadata": {"name": "default"}}),
        lambda s: s.saw_runtime({"metadata": {"name": "other"}}),
    ) == [1, 1, 0]
