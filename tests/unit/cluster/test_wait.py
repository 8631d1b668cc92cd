"""Waiting ends when the job does, outlives an API server that blinks, and not for ever one that is gone."""

import pytest

from assay_api.errors import Failed
from assay_runner.cluster.answers import ApiUnavailable
from assay_runner.cluster.job import Job
from assay_runner.cluster.wait import wait_for_end, wait_until_gone
from support.evaljobs import complete, evaljob, failed, running

DOWN = ApiUnavailable("The API server cannot be reached (connection refused).")


class Scripted:
    """A cluster whose answers come in this order, the last one for ever; each look takes the second that the caller sleeps."""

    def __init__(self, *answers):
        self.answers, self.time, self.notes, self.shown = list(answers), 0.0, [], []

    def job(self, namespace, name):
        assert (namespace, name) == ("research", "easy-vqa")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds):
        self.time += seconds

    def note(self, text):
        self.notes.append(text)

    def show(self, job):
        self.shown.append(job.status.phase)

    def wait(self):
        return wait_for_end(self, Job.of(evaljob()), self, clock=lambda: self.time, sleep=self.sleep)

    def wait_gone(self):
        wait_until_gone(self, Job.of(evaljob()), self.note, clock=lambda: self.time, sleep=self.sleep)


def test_the_end_is_awaited_and_all_before_it_shown():
    cluster = Scripted(evaljob(), evaljob(running()), evaljob(complete()))
    job, ended = cluster.wait()
    assert (job.status.phase, ended.code, cluster.shown) == ("Complete", 0, [None, "Running", "Complete"])


def test_a_failure_is_an_end():
    assert Scripted(evaljob(running()), evaljob(failed("SpecError", "No such task."))).wait()[1].code == 64


@pytest.mark.parametrize("last", [None, evaljob(running(), uid="another")])
def test_a_job_that_is_deleted_meanwhile_ends_the_wait_also_when_another_took_its_name(last):
    with pytest.raises(Failed, match="was deleted before it ended"):
        Scripted(evaljob(running()), last).wait()


def test_a_server_that_blinks_is_waited_for_and_mentioned_once():
    cluster = Scripted(evaljob(running()), *[DOWN] * 100, evaljob(running()), *[DOWN] * 100, evaljob(complete()))
    assert cluster.wait()[1].code == 0
    assert cluster.notes == 2 * [f"{DOWN} Trying again for 120 s.", "The API server answers again."]


def test_a_server_that_is_gone_for_two_minutes_ends_the_wait():
    cluster = Scripted(evaljob(running()), DOWN)
    with pytest.raises(ApiUnavailable, match="connection refused"):
        cluster.wait()
    assert 120 <= cluster.time <= 125


@pytest.mark.parametrize("last", [None, evaljob(uid="another")])
def test_a_deleted_job_is_gone_when_its_object_is(last):
    Scripted(evaljob(deletionTimestamp="2026-03-01T12:01:00Z"), last).wait_gone()


def test_a_job_that_does_not_go_says_what_holds_it():
    held = evaljob(deletionTimestamp="2026-03-01T12:01:00Z", finalizers=["assay.dev/reclaim"])
    with pytest.raises(Failed, match=r"still being deleted after 60 s: it waits for assay\.dev/reclaim"):
        Scripted(held).wait_gone()
