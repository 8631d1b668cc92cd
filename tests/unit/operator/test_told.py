"""Events tell each transition once; progress is read from a worker's metrics."""

from dataclasses import replace

import pytest

from assay_api import exposition
from assay_operator.decide import decide
from assay_operator.names import Step
from assay_operator.progress import parse
from assay_operator.told import event, tellings
from support.control_plane import World, reduced


def told(world, act):
    before = world.status
    act()
    world.reconcile()
    return [(item.warning, item.reason) for item in tellings(before, world.status)]


def test_a_good_run_tells_its_steps_once_each():
    world = World()
    assert told(world, lambda: None) == [(False, "Accepted")]
    assert told(world, world.work) == []
    assert told(world, lambda: world.finish(Step.PLAN)) == [(False, "Planned")]
    assert told(world, world.work) == [(False, "Running")]
    assert told(world, lambda: None) == []
    assert told(world, lambda: world.finish(Step.WORK)) == [(False, "ChunksCommitted")]
    assert told(world, lambda: world.finish(Step.REDUCE)) == [(False, "Complete")]


def test_trouble_and_failure_are_warnings():
    world = World(runtime=None)
    assert told(world, lambda: None) == [(True, "RuntimeNotFound")]
    world = World()
    world.reconcile()
    assert told(world, lambda: world.end(Step.PLAN, code=1, message="boom")) == [
        (True, "ContainerFailed"),
        (True, "ContainerFailed"),
    ]


def test_suspending_and_resuming_are_told():
    world = World()
    world.settle()
    assert told(world, lambda: world.change(suspend=True)) == [(False, "Suspended")]
    assert told(world, lambda: world.change(suspend=False)) == [(False, "Resumed")]


def test_an_event_is_about_its_object():
    world = World()
    world.reconcile()
    (first, *_) = tellings(World().status, world.status)
    meta = {"name": "job", "namespace": "research", "uid": "u", "resourceVersion": "7"}
    body = event(first, {"kind": "EvalJob", "metadata": meta}, world.now, "me")
    assert (
        body["involvedObject"]["kind"] == "EvalJob"
        and body["involvedObject"]["uid"] == "u"
        and body["metadata"]["namespace"] == "research"
    )
    assert (body["type"], body["reason"], body["firstTimestamp"]) == ("Normal", "Accepted", "2026-01-01T00:00:00Z")


def metrics(**values):
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items())


def classes(**counts):
    rows = (f'{exposition.ERRORS_BY_CLASS}{{{exposition.CLASS}="{name}"}} {count}\n' for name, count in counts.items())
    return f"# TYPE {exposition.ERRORS_BY_CLASS} gauge\n" + "".join(rows)


def test_progress_is_what_a_worker_exposes():
    text = metrics(
        **{
            exposition.SAMPLES: 100,
            exposition.SAMPLES_COMMITTED: 40,
            exposition.CHUNKS_COMMITTED: 2,
            exposition.ERRORS: 1,
            exposition.SAMPLES_PER_SECOND: 2.5,
            exposition.RETRIES: 7,
            exposition.ACCELERATOR_SECONDS: 80.5,
        }
    )
    found = parse(text + classes(Timeout=1))
    assert (found.samples_done, found.samples_total, found.errors, found.chunks_committed) == (40, 100, 1, 2)
    assert found.samples_per_second == 2.5
    assert (found.retries, found.accelerator_seconds) == (7, 80)
    assert [(row.name, row.count) for row in found.error_classes] == [("Timeout", 1)]


def test_a_worker_that_brings_endless_classes_of_errors_fills_no_status():
    endless = classes(**{"x" * length: length for length in range(100)})
    found = parse(metrics(**{exposition.SAMPLES: 100, exposition.SAMPLES_COMMITTED: 40}) + endless)
    assert len(found.error_classes) == 16 and all(0 < len(row.name) <= 64 for row in found.error_classes)


@pytest.mark.parametrize("text", ["", "<html>", "assay_run_samples{", metrics(other=1), metrics(assay_run_samples=5)])
def test_an_answer_that_is_no_progress_is_none(text):
    assert parse(text) is None


def test_nonsense_numbers_are_not_believed():
    text = metrics(assay_run_samples="NaN", assay_run_samples_committed=-5, assay_run_samples_per_second="+Inf")
    found = parse(text)
    assert (found.samples_done, found.samples_total, found.samples_per_second) == (0, 0, None)


def completed(told, **reduced_to):
    """The status of a job whose workers have told this last, and whose reducer this."""
    world = World()
    world.reconcile()
    world.finish(Step.PLAN)
    world.reconcile()
    world.work()
    seen, _ = world.observe()
    going = decide(replace(seen, progress=parse(told)), world.now).status
    world.finish(Step.WORK)
    world.reconcile()
    world.end(Step.REDUCE, message=reduced(**reduced_to))
    seen, _ = world.observe()
    return decide(replace(seen, status=seen.status.model_copy(update={"progress": going.progress})), world.now).status


def test_a_completed_job_keeps_what_only_its_workers_could_tell():
    told = metrics(assay_run_samples=100, assay_run_samples_committed=40, assay_run_errors=3, assay_run_retries=5)
    ended = completed(told)
    assert ended.phase == "Complete" and ended.progress.samples_done == ended.plan.samples
    assert ended.progress.retries == 5


def test_what_a_completed_job_s_errors_were_is_the_reducers_word():
    told = metrics(assay_run_samples=100, assay_run_samples_committed=40, assay_run_errors=1) + classes(Timeout=1)
    ended = completed(told, errors=3, errors_by_class={"Timeout": 2, "HTTP500": 1})
    assert ended.progress.errors == 3
    assert {row.name: row.count for row in ended.progress.error_classes} == {"HTTP500": 1, "Timeout": 2}


def test_progress_never_goes_back():
    world = World()
    world.reconcile()
    world.finish(Step.PLAN)
    world.reconcile()
    world.work()
    seen, _ = world.observe()
    ahead = decide(
        replace(seen, progress=parse(metrics(assay_run_samples=100, assay_run_samples_committed=40))), world.now
    )
    behind = replace(
        seen,
        status=ahead.status,
        progress=parse(metrics(assay_run_samples=100, assay_run_samples_committed=20)),
    )
    assert decide(behind, world.now).status.progress.samples_done == 40
    assert decide(behind, world.now).status.summary.done == "40/100"
