"""How a job ended decides the exit code, and a newer operator's status can still be read."""

import pytest

from assay_api.errors import Failed
from assay_runner.cluster.job import Job, outcome
from support.evaljobs import complete, condition, evaljob, failed, judged, running


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (complete(), 0),
        (judged("passed", "passed"), 0),
        (judged("passed", "failed", "cannot tell"), 3),
        (judged("cannot tell", "passed"), 4),
        (failed("TooManyErrors", "3 of 10 samples failed."), 1),
        (failed("BackoffLimitExceeded", "A worker failed 6 times."), 1),
        (failed("SpecError", "spec.tasks[0].name: there is no such task."), 64),
    ],
)
def test_the_exit_code_of_a_finished_job_tells_good_from_bad_and_bad_from_wrong(status, code):
    assert outcome(Job.of(evaljob(status))).code == code


@pytest.mark.parametrize("status", [None, {}, running(), {"conditions": [condition("Failed", "Unknown")]}])
def test_a_job_without_a_final_condition_that_holds_goes_on(status):
    assert outcome(Job.of(evaljob(status))) is None


def test_a_failure_is_told_in_the_words_of_its_condition_or_by_its_reason():
    assert outcome(Job.of(evaljob(failed("Deadline", "It took too long.")))).sentence == (
        "evaljob/easy-vqa failed: It took too long."
    )
    assert outcome(Job.of(evaljob(failed("Deadline", "")))).sentence == "evaljob/easy-vqa failed: Deadline"


def test_fields_that_a_newer_operator_adds_do_no_harm():
    status = running(gate={"passed": True})
    status["progress"]["joules"] = 12
    assert Job.of(evaljob(status)).status.progress.samples_done == 4200


def test_a_status_that_means_something_else_is_refused_with_its_field():
    with pytest.raises(Failed, match=r"evaljob/easy-vqa: status\.phase is not understood; use the version"):
        Job.of(evaljob({"phase": "Dreaming"}))
