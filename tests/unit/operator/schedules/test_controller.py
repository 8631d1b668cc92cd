"""One reconciliation of a schedule: what is written, and what becomes of a refusal. The API server is one of dictionaries; the
real one is met in the end-to-end tests."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from assay_api.reports import Landed, Watched
from assay_operator.api_server import EVALJOBS, EVALSCHEDULES, EVENTS, JOBS, PODS, ApiError, Listing
from assay_operator.complaints import Complaints
from assay_operator.names import STEP
from assay_operator.schedules.controller import ScheduleController
from assay_operator.schedules.names import SCHEDULE_UID, watcher_name
from support.control_plane import runtime
from support.schedules import UID, schedule, watching

KEY = ("research", "nightly")


class Objects:
    """Objects by kind and name."""

    def __init__(self, there):
        raw = there.model_dump(mode="json", exclude_none=True)
        raw["metadata"] |= {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.stored = {(EVALSCHEDULES, "nightly"): raw}
        self.writes, self.refuse = [], {}

    async def get(self, resource, namespace, name):
        return self.stored.get((resource, name))

    async def list(self, resource, namespace, *, labels="", fields="", metadata_only=False):
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        found = [raw for (kind, _), raw in self.stored.items() if kind == resource]
        return Listing(tuple(raw for raw in found if wanted.items() <= raw["metadata"].get("labels", {}).items()), "1")

    async def create(self, resource, body):
        self.writes.append(resource)
        if status := self.refuse.get(resource):
            raise ApiError(status, "Refused", "for a test")
        name = body["metadata"].get("name") or f"event-{len(self.writes)}"
        if (resource, name) in self.stored:
            raise ApiError(409, "AlreadyExists", "it is there")
        self.stored[resource, name] = body | {"metadata": body["metadata"] | {"uid": f"uid-{name}"}}
        return body

    async def apply(self, resource, body, *, manager, subresource=None):
        self.writes.append(resource)
        if status := self.refuse.get(resource):
            raise ApiError(status, "Refused", "for a test")
        name = body["metadata"]["name"]
        if subresource == "status":
            self.stored[resource, name]["status"] = body["status"]
        else:
            self.stored[resource, name] = body | {"metadata": body["metadata"] | {"uid": f"uid-{name}"}, "status": {}}
        return body

    async def delete(self, resource, namespace, name, uid):
        self.writes.append(resource)
        assert self.stored.pop((resource, name))["metadata"]["uid"] == uid

    @property
    def status(self):
        return self.stored[EVALSCHEDULES, "nightly"].get("status", {})

    def names(self, resource):
        return [name for kind, name in self.stored if kind == resource]

    def condition(self, kind):
        return next(item for item in self.status["conditions"] if item["type"] == kind)

    def reasons(self):
        return [self.stored[EVENTS, name]["reason"] for name in self.names(EVENTS)]


class Desk:
    """An operator with a clock, over these objects."""

    def __init__(self, objects):
        self.objects, self.now = objects, datetime(2026, 1, 1, tzinfo=UTC)
        complaints = Complaints(objects, lambda: self.now, lambda: 0.0)
        self.controller = ScheduleController(
            objects, lambda name: runtime(), complaints, now=lambda: self.now, identity="me"
        )

    def __call__(self, **later):
        self.now += timedelta(**later)
        return asyncio.run(self.controller.reconcile(KEY))


@pytest.fixture
def objects():
    return Objects(schedule())


@pytest.fixture
def reconcile(objects):
    return Desk(objects)


@pytest.fixture
def watched():
    return Objects(watching())


def test_a_run_that_is_due_becomes_an_evaljob_a_status_and_an_event(reconcile, objects):
    assert reconcile(hours=1).name == "done"
    assert objects.writes == [EVALJOBS, EVALSCHEDULES, EVENTS]
    assert objects.names(EVALJOBS) == ["nightly-29453820"] and objects.reasons() == ["Started"]
    assert reconcile().name == "done"
    objects.writes.clear()
    assert reconcile().name == "unchanged" and objects.writes == []


def test_an_evaljob_that_is_there_already_counts_as_started_and_is_left_as_it_is(reconcile, objects):
    reconcile(hours=1)
    objects.stored[EVALJOBS, "nightly-29453820"]["spec"]["suspend"] = True
    objects.stored[EVALSCHEDULES, "nightly"].pop("status")
    assert reconcile().name == "done"
    assert objects.status["lastScheduleTime"] == "2026-01-01T01:00:00Z"
    assert objects.stored[EVALJOBS, "nightly-29453820"]["spec"]["suspend"]


def test_an_evaljob_of_somebody_else_with_the_name_is_told_of_and_never_touched(reconcile, objects):
    theirs = {"metadata": {"name": "nightly-29453820", "labels": {SCHEDULE_UID: UID}}, "status": {}}
    objects.stored[EVALJOBS, "nightly-29453820"] = theirs
    assert reconcile(hours=1).again_in
    assert "another one has this name" in objects.status["note"] and objects.reasons() == ["JobRefused"]
    assert objects.stored[EVALJOBS, "nightly-29453820"] is theirs and "lastScheduleTime" not in objects.status


@pytest.mark.parametrize("status", [403, 422])
def test_an_evaljob_that_the_api_server_will_not_have_is_told_once_and_tried_again(reconcile, objects, status):
    objects.refuse[EVALJOBS] = status
    assert reconcile(hours=1).again_in == 30.0
    reconcile(minutes=1)
    assert objects.condition("OnTime")["reason"] == "JobRefused" and objects.reasons() == ["JobRefused"]
    objects.refuse.clear()
    reconcile(minutes=1)
    assert objects.names(EVALJOBS) == ["nightly-29453820"] and objects.condition("OnTime")["status"] == "True"


def test_an_api_server_that_does_not_answer_is_asked_again_before_anything_is_told(reconcile, objects):
    objects.refuse[EVALJOBS] = 500
    with pytest.raises(ApiError):
        reconcile(hours=1)
    assert objects.status == {}


def test_a_watch_from_its_first_pod_to_the_evaljob_of_what_it_found(watched):
    reconcile, name = Desk(watched), watcher_name("nightly", UID)
    reconcile()
    assert watched.names(JOBS) == [name] and watched.names(EVALJOBS) == []
    watched.stored[JOBS, name]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    word = Watched(found=(Landed(number=1, name="checkpoint-5"),)).encode().decode()
    meta = {"name": "pod", "uid": "p", "labels": {SCHEDULE_UID: UID, STEP: "watch"}}
    ended = {"name": "runner", "state": {"terminated": {"exitCode": 0, "message": word}}}
    forged = meta | {"name": "forged", "uid": "f"}
    lie = ended | {"state": {"terminated": {"exitCode": 0, "message": word.replace("checkpoint-5", "evil")}}}
    watched.stored[PODS, "forged"] = {"metadata": forged, "status": {"containerStatuses": [lie]}}
    owner = {"ownerReferences": [{"uid": f"uid-{name}", "controller": True}]}
    watched.stored[PODS, "pod"] = {"metadata": meta | owner, "status": {"containerStatuses": [ended]}}
    reconcile()
    (job,) = watched.names(EVALJOBS)
    assert job == "nightly-1"
    assert watched.stored[EVALJOBS, job]["spec"]["model"]["name"] == "s3://train/run-7/checkpoint-5"
    assert watched.status["watch"] == {
        "found": 1, "started": 1, "lastCheckpoint": "checkpoint-5", "pending": [],
    }  # fmt: skip
    reconcile(seconds=1)
    assert watched.names(JOBS) == []
    reconcile(seconds=1)
    arguments = watched.stored[JOBS, name]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--after") + 1] == "1"


def test_a_watching_job_that_the_api_server_will_not_have_is_told(watched):
    watched.refuse[JOBS] = 403
    assert Desk(watched)().again_in
    assert watched.condition("Watching")["reason"] == "JobRefused"


def test_an_object_of_another_definition_is_told_what_is_wrong_once(reconcile, objects):
    objects.stored[EVALSCHEDULES, "nightly"]["spec"]["crom"] = {}
    assert reconcile().name == "unreadable"
    assert "spec.crom" in objects.condition("Accepted")["message"] and objects.reasons() == ["InvalidSpec"]
    objects.writes.clear()
    assert reconcile().name == "unreadable" and objects.writes == []


def test_one_that_is_gone_is_left(reconcile, objects):
    objects.stored.clear()
    assert reconcile().name == "gone" and objects.writes == []
