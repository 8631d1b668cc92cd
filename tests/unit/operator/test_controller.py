"""One reconciliation: what is written, when, and what happens when a write is refused. The API server is a small one of
dictionaries that keeps versions as the real one does; the real one is met in the integration and end-to-end tests."""

import asyncio
import copy
from datetime import UTC, datetime

import pytest

from assay_api.status import ProgressStatus
from assay_operator.api_server import EVALJOBS, EVENTS, JOBS, NAMESPACES, ApiError, Listing
from assay_operator.apply import Applier
from assay_operator.complaints import Complaints
from assay_operator.controller import Controller
from assay_operator.names import JOB_UID, STEP, Step, child_name
from assay_operator.observe import Observer
from assay_operator.watched import Watched
from support.control_plane import UID, evaljob, planned, runtime

KEY = ("research", "job")


class Objects:
    """EvalJob, Jobs and Events by name."""

    answering = float("inf")

    def __init__(self):
        raw = evaljob().model_dump(mode="json", exclude_none=True)
        raw["metadata"] |= {"resourceVersion": "1", "generation": 1}
        self.stored = {(EVALJOBS, "job"): raw}
        self.writes, self.refuse, self.causes, self.removed = [], {}, (), []

    async def get(self, resource, namespace, name):
        return self.stored.get((resource, name))

    async def list(self, resource, namespace, *, labels="", fields="", metadata_only=False):
        return Listing((), "1")

    async def apply(self, resource, body, *, manager, subresource=None):
        self.writes.append((resource, subresource))
        if status := self.refuse.get((resource, subresource)):
            raise ApiError(status, "Refused", "for a test", self.causes)
        name = body["metadata"]["name"]
        if subresource == "status":
            if (stored := self.stored.get((resource, name))) is None:
                raise ApiError(404, "NotFound", "no such object")
            if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", "changed since")
            stored["status"] = body["status"]
            self.touch()
        else:
            uid = {"uid": f"uid-{name}"}
            self.stored[resource, name] = body | {"metadata": body["metadata"] | uid, "status": {}}
        return self.stored[resource, name]

    async def delete(self, resource, namespace, name, uid):
        assert self.stored[resource, name]["metadata"]["uid"] == uid
        self.removed.append(name)

    async def create(self, resource, body):
        self.writes.append((resource, None))
        if status := self.refuse.get((resource, None)):
            raise ApiError(status, "Refused", "for a test", self.causes)
        return body

    def touch(self):
        meta = self.stored[EVALJOBS, "job"]["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)


class Scraper:
    done = 0

    async def scrape(self, pods):
        self.done += 1
        return ProgressStatus(samplesDone=self.done, samplesTotal=100)


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def objects():
    return Objects()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watched():
    watched = Watched(lambda: 0.0)
    watched.runtime(runtime().model_dump(mode="json", exclude_none=True), gone=False)
    return watched


@pytest.fixture
def reconcile(objects, watched, clock):
    def now():
        return datetime(2026, 1, 1, tzinfo=UTC)

    observer = Observer(objects, watched, Scraper(), Complaints(objects, now, clock))
    controller = Controller(objects, watched, observer, Applier(objects), now=now, identity="me", clock=clock)
    return lambda: asyncio.run(controller.reconcile(KEY))


def status(objects):
    return objects.stored[EVALJOBS, "job"].get("status", {})


def told_of(objects, watched, name, step, container, **more):
    """A watch tells of the Job and of its one pod."""
    labels = {JOB_UID: UID, STEP: step.value}
    job = objects.stored[JOBS, name]
    meta = {"name": "p", "namespace": "research", "uid": "p", "labels": labels, **more}
    meta["ownerReferences"] = [{"uid": job["metadata"]["uid"], "controller": True}]
    watched.job(job, gone=False)
    watched.pod({"metadata": meta, "status": {"containerStatuses": [{"name": "runner", **container}]}}, gone=False)


def run(objects):
    """Put the job into the middle of its work."""
    objects.stored[EVALJOBS, "job"]["status"] = {
        "phase": "Running",
        "plan": {
            "digest": "a" * 64, "specDigest": "", "runUri": f"s3://b/research/job/{UID}", "samples": 100, "chunks": 5,
        },
    }  # fmt: skip


@pytest.fixture
def asked(objects):
    """The kinds of what was read, in order."""
    kinds, get = [], objects.get

    async def note(resource, namespace, name):
        kinds.append(resource)
        return await get(resource, namespace, name)

    objects.get = note
    return kinds


def test_a_step_is_asked_for_once_it_was_told_of(objects, reconcile, asked):
    reconcile()
    assert asked == [EVALJOBS] and (JOBS, child_name("job", UID, Step.PLAN)) in objects.stored
    del objects.stored[JOBS, child_name("job", UID, Step.PLAN)]
    reconcile()
    assert asked == [EVALJOBS, EVALJOBS, JOBS] and (JOBS, child_name("job", UID, Step.PLAN)) in objects.stored


def test_a_new_job_is_planned_as_the_watch_has_told_of_it(objects, watched, reconcile, asked):
    watched.evaljob(objects.stored[EVALJOBS, "job"], gone=False)
    assert reconcile().name == "done" and asked == []
    assert status(objects)["phase"] == "Planning" and (JOBS, child_name("job", UID, Step.PLAN)) in objects.stored


def test_a_new_job_that_has_changed_since_it_was_told_of_gets_its_status_at_the_next_look(objects, watched, reconcile):
    watched.evaljob(copy.deepcopy(objects.stored[EVALJOBS, "job"]), gone=False)
    objects.touch()
    assert reconcile().name == "conflict" and status(objects) == {}
    assert reconcile().name == "done" and status(objects)["phase"] == "Planning"


@pytest.mark.parametrize("word", [planned(), ""])
def test_a_plan_that_was_told_is_not_asked_for_before_the_work_begins(objects, watched, reconcile, asked, word):
    reconcile()
    plan, work = (child_name("job", UID, step) for step in (Step.PLAN, Step.WORK))
    told_of(objects, watched, plan, Step.PLAN, {"state": {"terminated": {"exitCode": 0, "message": word}}})
    asked.clear()
    reconcile()
    assert ((JOBS, work) in objects.stored, JOBS in asked) == (bool(word), not word)


@pytest.mark.parametrize("verdict", ["SuccessCriteriaMet", "Failed"])
def test_work_that_was_seen_to_be_complete_is_not_asked_for_before_it_is_reduced(
    objects, watched, reconcile, asked, verdict
):
    run(objects)
    reconcile()
    work, reduction = (child_name("job", UID, step) for step in (Step.WORK, Step.REDUCE))
    objects.stored[JOBS, work]["status"] = {"conditions": [{"type": verdict, "status": "True"}]}
    told_of(objects, watched, work, Step.WORK, {"state": {"terminated": {"exitCode": 0}}})
    asked.clear()
    reconcile()
    complete = verdict != "Failed"
    assert ((JOBS, reduction) in objects.stored, JOBS in asked) == (complete, not complete)


def test_a_new_job_gets_its_planner_its_status_and_its_events(reconcile, objects):
    assert reconcile().name == "done"
    assert objects.writes == [(JOBS, None), (EVALJOBS, "status"), (EVENTS, None)]
    assert status(objects)["phase"] == "Planning"


def test_a_second_look_at_the_same_writes_nothing(reconcile, objects):
    reconcile()
    reconcile()
    objects.writes.clear()
    assert reconcile().name == "unchanged" and objects.writes == []


def test_a_status_that_was_decided_from_an_old_version_is_not_written(reconcile, objects, watched):
    real, objects.apply_once = objects.apply, False

    async def somebody_is_faster(resource, body, **options):
        if options.get("subresource") == "status" and not objects.apply_once:
            objects.apply_once = True
            objects.touch()
        return await real(resource, body, **options)

    objects.apply = somebody_is_faster
    outcome = reconcile()
    assert outcome.name == "conflict" and outcome.again_in < 1 and status(objects) == {}
    assert reconcile().name == "done" and status(objects)["phase"] == "Planning"


def test_numbers_alone_are_written_at_most_once_a_second(reconcile, objects, clock):
    run(objects)
    reconcile()
    reconcile()
    objects.writes.clear()
    assert reconcile().again_in <= 1.0 and objects.writes == []
    clock.seconds += 1.0
    assert reconcile().name == "done" and objects.writes == [(EVALJOBS, "status")]


def test_an_event_that_cannot_be_written_holds_nothing_up(reconcile, objects):
    objects.refuse[EVENTS, None] = 403
    assert reconcile().name == "done" and status(objects)["phase"] == "Planning"


def test_a_job_that_cannot_be_made_is_tried_again_before_anything_is_told(reconcile, objects):
    objects.refuse[JOBS, None] = 500
    with pytest.raises(ApiError):
        reconcile()
    assert status(objects) == {}


def test_an_object_of_another_definition_is_told_what_is_wrong_once(reconcile, objects):
    objects.stored[EVALJOBS, "job"]["spec"]["replica"] = 3
    assert reconcile().name == "unreadable"
    (accepted,) = status(objects)["conditions"]
    assert accepted["reason"] == "InvalidSpec" and "spec.replica" in accepted["message"]
    objects.writes.clear()
    assert reconcile().name == "unreadable" and objects.writes == []


def test_a_job_that_is_gone_is_forgotten(reconcile, objects, watched):
    raw = objects.stored.pop((EVALJOBS, "job"))
    for told in (raw, raw | {"status": {"phase": "Planning"}}):
        watched.evaljob(told, gone=False)
        assert reconcile().name == "gone" and watched.unfinished() == []


def test_a_job_that_the_api_server_will_not_have_is_told_and_tried_again(reconcile, objects):
    objects.refuse[JOBS, None] = 422
    outcome = reconcile()
    assert outcome.again_in and "for a test" in status(objects)["summary"]["note"]
    planned = next(item for item in status(objects)["conditions"] if item["type"] == "Planned")
    assert (planned["status"], planned["reason"]) == ("False", "JobRefused")
    objects.refuse.clear()
    assert reconcile().name == "done" and (JOBS, None) in objects.writes


@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_a_namespace_that_is_removed_is_not_held_by_pods_of_the_work_job(reconcile, objects, watched, phase):
    run(objects)
    conditions = objects.stored[EVALJOBS, "job"]["status"].setdefault("conditions", [])
    if phase == "Failed":
        at = "2026-01-01T00:00:00Z"
        conditions.append({"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": at})
    name = child_name("job", UID, Step.WORK)
    labels = {JOB_UID: UID, STEP: "work"}
    work = {"metadata": {"name": name, "namespace": "research", "uid": f"uid-{name}", "labels": labels}}
    objects.stored |= {(JOBS, name): work, (NAMESPACES, "research"): {"metadata": {"name": "research"}}}
    container = {"state": {"terminated": {"exitCode": 75}}}
    told_of(objects, watched, name, Step.WORK, container, deletionTimestamp="2026-01-01T00:00:00Z")
    reconcile()
    assert objects.removed == []
    objects.stored[NAMESPACES, "research"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert reconcile().again_in
    assert objects.removed == [name]


def test_nothing_is_told_of_a_job_that_cannot_be_made_because_its_namespace_goes(reconcile, objects):
    objects.refuse[JOBS, None], objects.causes = 403, ("NamespaceTerminating",)
    assert reconcile().again_in
    assert objects.writes == [(JOBS, None)]


def test_a_status_of_a_newer_operator_is_read_as_far_as_it_is_known(reconcile, objects):
    reconcile()
    objects.stored[EVALJOBS, "job"]["status"] |= {"weather": [{"name": "x"}]}
    assert reconcile().name in ("done", "unchanged") and status(objects)["phase"] == "Planning"


def test_an_object_that_cannot_be_read_is_not_held_when_it_is_deleted(reconcile, objects):
    patches = []

    async def merge(resource, namespace, name, patch):
        patches.append(patch["metadata"])
        return {}

    objects.merge = merge
    objects.stored[EVALJOBS, "job"]["spec"]["replica"] = 3
    objects.stored[EVALJOBS, "job"]["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "assay.dev/reclaim"],
    }  # fmt: skip
    assert reconcile().name == "unreadable"
    assert patches == [{"finalizers": ["a/b"], "resourceVersion": "1"}]
