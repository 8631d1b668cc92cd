"""Each EvalJob has the series that its status gives, as long as it exists, and few of them once it has ended."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assay_operator.evaljob_view import MOST_GATES, MOST_SCORES, evaljob_view
from assay_operator.job_metrics import SETTLING
from assay_operator.metrics import PHASES, Metrics
from assay_operator.watched import Watched

NOW = 1_800_000_000.0
KEY = ("research", "qwen")
OWN = {"namespace", "evaljob"}


def row(metric="accuracy", value="0.5123", **fields):
    return {"task": "mmmu", "metric": metric, "value": value, "ciLow": "0.49", "ciHigh": "0.53", "n": 900} | fields


def evaljob(phase="Running", name="qwen", uid="u", **status):
    progress = {
        "samplesDone": 40, "samplesTotal": 100, "errors": 3, "retries": 5, "chunksCommitted": 2, "tokensIn": 900,
        "tokensOut": 70, "acceleratorSeconds": 80, "samplesPerSecond": 2.5, "lastCommitTime": "2027-01-15T08:00:00Z",
        "errorClasses": [{"name": "Timeout", "count": 2}, {"name": "HTTP500", "count": 1}],
    }  # fmt: skip
    return {
        "metadata": {"namespace": "research", "name": name, "uid": uid, "creationTimestamp": "2027-01-15T08:00:00Z"},
        "spec": {"model": {"backend": "vllm", "name": "Qwen/Qwen2.5-VL-7B"}},
        "status": {
            "phase": phase,
            "startTime": "2027-01-15T07:30:00Z",
            "plan": {"samples": 100, "chunks": 5},
            "progress": progress,
            "workers": {"active": 2, "waiting": 1, "succeeded": 0, "failed": 1, "preempted": 4},
            "conditions": [condition("Running", "True", "2027-01-15T08:30:00Z")],
        }
        | status,
    }


def condition(kind, status, changed, reason="Reason"):
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": changed}


def ended(phase="Complete", **status):
    return evaljob(phase, completionTime="2027-01-15T08:00:00Z", **status)


def series(*raws, now=NOW, leads=True):
    """What is exported of the EvalJobs: name without `assay_job_`, and values of the labels that do not name the EvalJob."""
    return parsed(Metrics(lambda: now).render(**figures(leads, {("research", str(n)): r for n, r in enumerate(raws)})))


def figures(leads, raws):
    views = {key: evaljob_view(raw) for key, raw in raws.items()}
    return {"depth": 0, "oldest": 0, "age": 0, "leads": leads, "jobs": views, "schedules": {}}


def parsed(text):
    return {
        (
            sample.name.removeprefix("assay_job_"),
            *(sample.labels[name] for name in sorted(sample.labels.keys() - OWN)),
        ): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name.startswith("assay_job_")
    }


def test_a_running_job_tells_how_far_it_is():
    assert series(evaljob()) == {
        ("phase", "Running"): 1,
        ("info", "vllm", "Qwen/Qwen2.5-VL-7B"): 1,
        ("start_time_seconds",): 1_799_998_200,
        ("progress_time_seconds",): 1_800_000_000,
        ("samples",): 100,
        ("samples_done",): 40,
        ("chunks",): 5,
        ("chunks_committed",): 2,
        ("errors",): 3,
        ("errors_by_class", "Timeout"): 2,
        ("errors_by_class", "HTTP500"): 1,
        ("retries",): 5,
        ("preemptions",): 4,
        ("tokens", "in"): 900,
        ("tokens", "out"): 70,
        ("accelerator_seconds",): 80,
        ("samples_per_second",): 2.5,
        ("workers", "active"): 2,
        ("workers", "waiting"): 1,
        ("workers", "succeeded"): 0,
        ("workers", "failed"): 1,
    }


def test_each_job_has_its_labels_and_each_family_stands_once():
    views = {KEY: evaljob_view(evaljob()), ("prod", 'a"b\\c'): evaljob_view(ended())}
    text = Metrics(lambda: NOW).render(depth=0, oldest=0, age=0, leads=True, jobs=views, schedules={}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = [sample.labels for sample in families["assay_job_phase"].samples]
    assert found == [
        {"namespace": "research", "evaljob": "qwen", "phase": "Running"},
        {"namespace": "prod", "evaljob": 'a"b\\c', "phase": "Complete"},
    ]
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)) and families["assay_job_gate"].samples == []


def test_scores_carry_their_interval_and_gates_their_verdict():
    gates = [{"name": name, "verdict": name} for name in ("passed", "failed", "cannot tell")]
    rows = [row(), row("wer", "0.1", ciLow=None), row("bleu", "n/a")]
    found = series(ended(results=rows, gates=gates))
    assert {key: value for key, value in found.items() if key[0].startswith(("score", "gate"))} == {
        ("score", "accuracy", "mmmu"): 0.5123,
        ("score_low", "accuracy", "mmmu"): 0.49,
        ("score_high", "accuracy", "mmmu"): 0.53,
        ("score", "wer", "mmmu"): 0.1,
        ("gate", "passed"): 1,
        ("gate", "failed"): 0,
        ("gate", "cannot tell"): -1,
    }


def test_a_failed_job_tells_why():
    raw = ended("Failed", conditions=[condition("Failed", "True", "2027-01-15T08:00:00Z", "TooManyErrors")])
    assert series(raw)["failure", "TooManyErrors"] == 1


@pytest.mark.parametrize(
    ("raw", "since"),
    [
        (evaljob(), "the last commit, whatever its conditions do"),
        (evaljob("Reducing", conditions=[condition("ChunksCommitted", "True", "2027-01-15T08:00:00Z")]), "a change"),
        (evaljob("Pending", conditions=[], progress={}), "its creation"),
    ],
    ids=["running", "reducing", "pending"],
)  # fmt: skip
def test_a_job_tells_when_it_last_got_on(raw, since):
    assert series(raw)["progress_time_seconds",] == 1_800_000_000, since


def test_a_job_that_ended_a_while_ago_keeps_what_it_is_and_what_came_out():
    raw = ended(results=[row()])
    at_the_end = NOW
    assert ("samples_done",) in series(raw, now=at_the_end + SETTLING - 1), "every Prometheus sees the last numbers"
    later = series(raw, now=at_the_end + SETTLING + 1)
    assert {name for name, *_ in later} == {
        "phase", "info", "completion_time_seconds", "score", "score_low", "score_high",
    }  # fmt: skip


def test_no_job_has_more_series_than_these_however_much_its_status_holds():
    rows = [row(f"m{n}") for n in range(64)]
    gates = [{"name": f"g{n}", "verdict": "passed"} for n in range(64)]
    found = series(ended(results=rows, gates=gates), now=NOW + 2 * SETTLING)
    assert len(found) == 3 + 3 * MOST_SCORES + MOST_GATES


def test_what_was_rendered_of_an_ended_job_is_used_until_the_job_changes_or_goes():
    metrics = Metrics(lambda: NOW + 2 * SETTLING)
    first = figures(True, {KEY: ended(results=[row()])})
    assert parsed(metrics.render(**first)) == parsed(metrics.render(**first))
    changed = figures(True, {KEY: ended(results=[row(value="0.9")])})
    assert parsed(metrics.render(**changed))["score", "accuracy", "mmmu"] == 0.9
    assert parsed(metrics.render(**figures(True, {}))) == {}


def test_series_of_a_deleted_job_disappear():
    watched, metrics = Watched(lambda: 0.0), Metrics(lambda: NOW)
    watched.evaljob(evaljob(), gone=False)
    watched.evaljob(evaljob(name="other", uid="other"), gone=False)

    def told():
        text = metrics.render(depth=0, oldest=0, age=0, leads=True, jobs=watched.seen, schedules={}).decode()
        families = text_string_to_metric_families(text)
        return {
            sample.labels["evaljob"] for family in families for sample in family.samples if "evaljob" in sample.labels
        }

    assert told() == {"qwen", "other"}
    watched.evaljob(evaljob(), gone=True)
    assert told() == {"other"}


def test_only_the_replica_that_acts_tells_of_each_job():
    assert series(evaljob(), leads=False) == {}
    text = Metrics(lambda: NOW).render(**figures(False, {KEY: evaljob()})).decode()
    assert 'assay_operator_jobs{phase="Running"} 1.0' in text and "assay_operator_leader 0.0" in text


def test_a_job_of_which_nothing_is_known_yet_is_pending():
    assert series({"metadata": {"name": "new"}})["phase", "Pending"] == 1


def test_calls_are_told_by_verb_and_resource_and_those_that_failed_by_code():
    metrics = Metrics(lambda: NOW)
    for status in (200, 404, 500, 0):
        metrics.called("get", "evaljobs", status, 0.2)
    metrics.taken(3.0)
    text = metrics.render(**figures(True, {})).decode()
    assert 'assay_operator_api_seconds_count{resource="evaljobs",verb="get"} 4.0' in text
    assert 'assay_operator_api_errors_total{code="500",resource="evaljobs",verb="get"} 1.0' in text
    assert 'assay_operator_api_errors_total{code="0",resource="evaljobs",verb="get"} 1.0' in text
    assert 'code="404"' not in text
    assert "assay_operator_queue_seconds_sum 3.0" in text
    assert all(f'assay_operator_jobs{{phase="{phase}"}} 0.0' in text for phase in PHASES)
