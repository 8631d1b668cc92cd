"""Gates in the operator: baselines are waited for and handed to the planner, and verdicts are told, not acted on."""

import asyncio

import pytest

from assay_api.evaljob import EvalJob
from assay_api.reports import GateWord
from assay_operator.actions import CreateJob
from assay_operator.api_server import EVALJOBS
from assay_operator.baselines import BaselineJob, baseline_job
from assay_operator.complaints import Complaints
from assay_operator.conditions import find
from assay_operator.names import MANIFEST, Step, spec_digest
from assay_operator.observe import Observer
from assay_operator.render import render
from assay_operator.told import tellings
from assay_operator.watched import Watched
from support.control_plane import START, World, evaljob, reduced, runtime
from support.evaljobs import RUN, complete, failed, running
from support.evaljobs import evaljob as raw_evaljob

LEAST = {"name": "least", "task": "easy_vqa", "metric": "exact_match", "minimum": 0.5}
DROP = {
    "name": "drop",
    "task": "easy_vqa",
    "metric": "exact_match",
    "filter": "strict",
    "baseline": {"evalJob": "base"},
    "smallestDifference": 0.02,
}
DONE = BaselineJob(phase="Complete", complete=True, failed=False, run=RUN)


def world(*gates, **baselines):
    return World(job=evaljob(gates=list(gates)), baselines=baselines)


def condition(world, kind):
    return find(world.status.conditions, kind)


@pytest.mark.parametrize(
    ("baselines", "reason", "words"),
    [
        (
            {},
            "BaselineNotFound",
            "spec.gates[1].baseline.evalJob: there is no EvalJob base in namespace research; create",
        ),
        (
            {"base": BaselineJob("Running", complete=False, failed=False, run=RUN)},
            "BaselineNotComplete",
            "EvalJob base is not complete, it is Running; this job is planned when it is.",
        ),
        (
            {"base": BaselineJob("Failed", complete=False, failed=True, run=RUN)},
            "BaselineFailed",
            "EvalJob base has failed and has no results; name another",
        ),
    ],
)
def test_a_job_waits_for_its_baseline_before_any_pod_is_made(baselines, reason, words):
    waiting = world(LEAST, DROP, **baselines)
    decision = waiting.reconcile()
    accepted = condition(waiting, "Accepted")
    assert decision.actions == () and decision.requeue == 15 and waiting.status.phase == "Pending"
    assert (accepted.status, accepted.reason) == ("False", reason) and words in accepted.message
    assert waiting.status.summary.note and waiting.status.start_time is None
    waiting.baselines = {"base": DONE}
    assert waiting.reconcile().actions == (CreateJob(Step.PLAN),)
    assert condition(waiting, "Accepted").status == "True"


def test_once_planned_a_baseline_may_go():
    """The plan has pinned what matters of it."""
    planned = world(DROP, base=DONE)
    planned.reconcile()
    planned.finish(Step.PLAN)
    planned.reconcile()
    planned.baselines = {}
    planned.finish(Step.WORK)
    planned.reconcile()
    assert condition(planned, "Accepted").status == "True" and planned.status.phase != "Pending"


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (None, BaselineJob("Pending", complete=False, failed=False, run="")),
        (running(), BaselineJob("Running", complete=False, failed=False, run=RUN)),
        (complete(), DONE),
        (failed("SpecError", "No."), BaselineJob("Failed", complete=False, failed=True, run="")),
    ],
)
def test_what_matters_of_a_baseline_is_read_from_its_status(status, found):
    assert baseline_job(raw_evaljob(status)) == found


def test_the_planner_is_told_an_address_where_the_user_wrote_a_name():
    job = evaljob(gates=[LEAST, DROP])
    made = render(Step.PLAN, job, runtime(), {"base": DONE})
    told = EvalJob.model_validate_json(made["spec"]["template"]["metadata"]["annotations"][MANIFEST])
    assert [gate.baseline and gate.baseline.run for gate in told.spec.gates] == [None, RUN]
    # What the user wrote stays what is compared with what the user writes later.
    assert spec_digest(job.spec) in made["metadata"]["annotations"].values()
    assert spec_digest(job.spec) != spec_digest(evaljob(gates=[LEAST]).spec)


@pytest.mark.parametrize(
    ("verdicts", "status", "reason", "message"),
    [
        (("passed", "passed"), "True", "AllPassed", "2 gates passed."),
        (("passed", "failed"), "False", "GateFailed", "1 of 2 gates failed: drop: It is worse."),
        (("cannot tell", "failed"), "False", "GateFailed", "1 of 2 gates failed: drop: It is worse."),
        (("passed", "cannot tell"), "Unknown", "CannotTell", "1 of 2 gates cannot be told: drop: It is worse."),
    ],
)
def test_the_verdicts_are_told_and_the_job_is_complete_whatever_they_are(verdicts, status, reason, message):
    judged = world(LEAST, DROP, base=DONE)
    judged.settle()
    judged.finish(Step.PLAN)
    judged.settle()
    judged.finish(Step.WORK)
    judged.settle()
    words = (
        GateWord(name="least", verdict=verdicts[0]),
        GateWord(name="drop", verdict=verdicts[1], message="It is worse."),
    )
    before = judged.status
    judged.end(Step.REDUCE, message=reduced(gates=words))
    judged.reconcile()
    found = condition(judged, "GatesPassed")
    assert (found.status, found.reason, found.message) == (status, reason, message)
    assert judged.status.phase == "Complete" and condition(judged, "Complete").status == "True"
    assert [(row.name, row.task, row.metric, row.verdict, row.message) for row in judged.status.gates] == [
        ("least", "easy_vqa", "exact_match", verdicts[0], ""),
        ("drop", "easy_vqa", "exact_match (strict)", verdicts[1], "It is worse."),
    ]
    told = {(one.warning, one.reason): one.message for one in tellings(before, judged.status)}
    assert told[(status != "True", "GatesPassed" if status == "True" else reason)] == message
    assert judged.status.summary.note == ("" if status == "True" else "Gate drop: It is worse.")


def test_a_job_without_gates_says_nothing_of_them():
    plain = World()
    for step in (Step.PLAN, Step.WORK, Step.REDUCE):
        plain.settle()
        plain.finish(step)
    plain.settle()
    assert plain.status.phase == "Complete" and plain.status.gates == []
    assert condition(plain, "GatesPassed") is None


class Api:
    """EvalJobs by name, and nothing else."""

    answering = float("inf")

    def __init__(self, **evaljobs):
        self.evaljobs, self.asked = evaljobs, []

    async def get(self, resource, namespace, name):
        if resource == EVALJOBS:
            self.asked.append((namespace, name))
            return self.evaljobs.get(name)
        return None


@pytest.mark.parametrize(("status", "asked"), [({}, [("research", "base")]), (running(), [])])
def test_the_baseline_is_looked_at_until_the_job_is_planned(status, asked):
    api = Api(base=raw_evaljob(complete()))
    observer = Observer(api, Watched(lambda: 0.0), None, Complaints(api, lambda: START, lambda: 0.0))
    raw = evaljob(gates=[LEAST, DROP, DROP | {"name": "again"}]).model_dump(mode="json", exclude_none=True)
    seen = asyncio.run(observer.observe(raw | {"status": status}))
    assert api.asked == asked and seen.baselines == ({"base": DONE} if asked else {})
