"""What a Prometheus is told of an EvalSchedule: that it does what it is for, or which condition does not hold."""

from prometheus_client.parser import text_string_to_metric_families

from assay_operator.metrics import Metrics
from assay_operator.schedules.metrics import exposition, schedule_view

KEY = ("research", "nightly")


def told(raw):
    """Name and type → number."""
    families = text_string_to_metric_families(exposition({KEY: schedule_view(raw)}).decode())
    found = {}
    for family in families:
        for sample in family.samples:
            labels = dict(sample.labels)
            assert (labels.pop("namespace"), labels.pop("evalschedule")) == KEY
            found[sample.name.removeprefix("assay_schedule_"), *labels.values()] = sample.value
    return found


def test_conditions_hold_or_not_or_cannot_be_told():
    conditions = [
        {"type": "Accepted", "status": "True"},
        {"type": "Watching", "status": "False", "reason": "StoreDenied"},
        {"type": "OnTime", "status": "Unknown"},
    ]
    assert told({"spec": {}, "status": {"conditions": conditions}}) == {
        ("condition", "Accepted"): 1,
        ("condition", "Watching"): 0,
        ("condition", "OnTime"): -1,
        ("suspended",): 0,
        ("active_jobs",): 0,
    }


def test_times_are_told_once_there_are_any():
    status = {
        "activeCount": 2,
        "lastScheduleTime": "1970-01-01T00:10:00Z",
        "lastSuccessfulTime": "1970-01-01T00:20:00Z",
    }
    found = told({"spec": {"suspend": True}, "status": status})
    assert found["suspended",] == 1 and found["active_jobs",] == 2
    assert (found["last_time_seconds",], found["last_success_time_seconds",]) == (600, 1200)


def test_what_nobody_has_told_of_yet_has_no_condition():
    assert told({"metadata": {"name": "nightly"}}) == {("suspended",): 0, ("active_jobs",): 0}


def test_only_the_replica_that_acts_tells_of_each():
    schedules = {KEY: schedule_view({})}

    def text(leads):
        figures = {"depth": 0, "oldest": 0, "age": 0, "jobs": {}, "schedules": schedules}
        return Metrics(lambda: 0.0).render(leads=leads, **figures).decode()

    assert "evalschedule=" in text(True) and "evalschedule=" not in text(False)
