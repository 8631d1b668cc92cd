"""A watch: what is found gets its EvalJob once and in order, whatever dies on the way, and trouble of the pod is told."""

from dataclasses import replace
from random import Random

import pytest

from assay_api.reports import Ended, Watched
from support.control_plane import runtime
from support.schedules import JOB, World, watching


def world(**spec):
    return World(schedule=watching(**spec))


def numbered(*numbers):
    return [f"nightly-{number}" for number in numbers]


def test_what_is_there_at_first_is_evaluated_in_its_order():
    there = world()
    there.landed = ["checkpoint-500", "checkpoint-1000"]
    there.settle()
    assert there.made == numbered(1, 2)
    watch = there.status.watch
    assert (watch.found, watch.started, watch.last_checkpoint, watch.pending) == (2, 2, "checkpoint-1000", [])
    assert there.watcher is not None and there.after == 2
    assert there.condition("Watching").status == "True"


def test_forbidden_checkpoints_wait_for_their_turn_and_none_is_dropped():
    there = world(concurrencyPolicy="Forbid")
    there.landed = [f"c{n}" for n in range(1, 8)]
    for number in range(1, 8):
        there.settle()
        assert there.active() == numbered(number)
        if number < 7:
            assert there.condition("OnTime").reason == "WaitsForItsTurn"
        there.end(f"nightly-{number}", well=number % 2 == 0)
    there.settle()
    assert there.made == numbered(*range(1, 8)) and there.condition("OnTime").status == "True"


def test_replacing_passes_over_all_but_the_newest():
    there = world(concurrencyPolicy="Replace")
    there.landed = ["c1"]
    there.settle()
    there.landed += ["c2", "c3", "c4"]
    there.end_watcher(Watched().encode().decode())
    there.settle()
    assert there.made == numbered(1, 4) and there.active() == numbered(4)
    assert there.status.watch.started == 4 and there.status.watch.pending == []


def test_while_many_wait_no_more_are_looked_for():
    there = world(concurrencyPolicy="Forbid")
    there.landed = [f"c{n}" for n in range(1, 101)]
    there.settle()
    assert 32 <= len(there.status.watch.pending) <= 64 and there.watcher is None
    assert there.condition("Watching").reason == "Full"
    there.end("nightly-1")
    there.settle()
    assert there.active() == numbered(2)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_each_checkpoint_gets_one_evaljob_in_its_order(seed):
    random = Random(seed)
    there = world(
        concurrencyPolicy=random.choice(["Allow", "Forbid"]), successfulJobsHistoryLimit=random.choice([0, 1])
    )
    total = 15
    for step in range(300):
        there.pass_time(seconds=random.choice([1, 10, 400]))
        match random.randrange(7):
            case 0 if len(there.landed) < total:
                there.landed.append(f"c{len(there.landed) + 1}")
            case 1 if there.active():
                there.end(random.choice(there.active()), well=random.random() < 0.8)
            case 2:
                there.pods = []
            case 3 if there.watcher and not there.watcher.finished:
                there.end_watcher("killed", code=137, failure=random.choice([None, "BackoffLimitExceeded"]))
            case 4:
                there.reconcile(survives=random.randrange(5))
            case 5:
                there.change(suspend=step % 3 == 0)
            case _:
                there.watch()
                there.reconcile()
    there.change(suspend=False)
    there.landed += [f"c{n}" for n in range(len(there.landed) + 1, total + 1)]
    for _ in range(2 * total):
        there.pass_time(seconds=400)
        there.settle()
        for name in there.active():
            there.end(name)
    assert there.made == numbered(*range(1, total + 1))


def test_a_report_is_in_the_status_before_its_job_goes():
    there = world()
    there.landed = ["c1"]
    there.reconcile()
    there.watch()
    there.reconcile()
    assert there.status.watch.found == 1 and there.watcher.complete
    there.reconcile()
    assert there.watcher is None


def test_a_report_with_a_gap_is_taken_up_to_the_gap():
    there = world()
    there.reconcile()
    found = [{"number": number, "name": f"c{number}"} for number in (1, 2, 4)]
    there.end_watcher(Watched(found=found).encode().decode())
    there.reconcile()
    assert there.status.watch.found == 2


def test_suspending_ends_the_watcher_and_keeps_what_waits():
    there = world(concurrencyPolicy="Forbid")
    there.landed = ["c1", "c2"]
    there.settle()
    there.change(suspend=True)
    there.settle()
    assert there.watcher is None and [each.name for each in there.status.watch.pending] == ["c2"]
    assert there.condition("Watching").reason == "Suspended"
    there.end("nightly-1")
    there.settle()
    assert there.made == numbered(1)
    there.change(suspend=False)
    there.settle()
    assert there.made == numbered(1, 2)


def test_a_change_of_what_the_watcher_runs_with_starts_it_anew():
    there = world()
    there.settle()
    before = there.watcher.uid
    there.change(watch=there.schedule.spec.watch.model_copy(update={"pattern": "epoch-*"}))
    there.settle()
    assert there.watcher.uid != before
    before = there.watcher.uid
    there.runtime = runtime(images={"default": "assay-runner:2"})
    there.settle()
    assert there.watcher.uid != before


def test_a_watcher_that_finds_nothing_is_followed_by_the_next():
    there = world()
    there.settle()
    before = there.watcher.uid
    there.end_watcher(Watched().encode().decode())
    there.settle()
    assert there.watcher.uid != before and there.condition("Watching").status == "True"


def test_a_secret_that_is_missing_is_told_while_the_pod_waits():
    there = world()
    there.reconcile()
    said = 'secret "s3" not found'
    there.pods = [there._pod(waiting="CreateContainerConfigError", waiting_message=said)]
    there.reconcile()
    watching = there.condition("Watching")
    assert (watching.status, watching.reason) == ("False", "SecretMissing") and "s3" in there.status.note
    there.pods = [there._pod(phase="Running", running=True)]
    there.reconcile()
    assert there.condition("Watching").status == "True" and there.told == ["SecretMissing", "Watching"]


def test_a_store_that_denies_is_told_and_tried_again_after_a_while():
    there = world()
    there.reconcile()
    word = Ended(code=1, kind="StoreDenied", message="s3://train/run-7 could not be listed: access is denied.")
    there.end_watcher(word.encode().decode(), code=1, failure="BackoffLimitExceeded")
    there.settle()
    assert there.condition("Watching").reason == "StoreDenied" and "access is denied" in there.status.note
    failed = there.watcher.uid
    there.pass_time(seconds=301)
    there.settle()
    assert there.watcher.uid != failed


def test_a_watcher_that_failed_is_started_anew_at_once_when_its_settings_change():
    there = world()
    there.reconcile()
    there.end_watcher("", code=1, failure="BackoffLimitExceeded")
    there.settle()
    failed = there.watcher.uid
    template = there.schedule.spec.template
    storage = template.spec.storage.model_copy(update={"credentials_secret_ref": None})
    spec = template.spec.model_copy(update={"storage": storage})
    there.change(template=template.model_copy(update={"spec": spec}))
    there.settle()
    assert there.watcher.uid != failed


def test_a_pod_that_another_try_cannot_mend_is_told_at_once():
    there = world()
    there.reconcile()
    word = Ended(code=64, kind="SpecError", message="s3://: no bucket.").encode().decode()
    there.end_watcher(word, code=64)
    there.reconcile()
    assert there.condition("Watching").reason == "SpecError"


def test_a_pod_of_another_version_is_told():
    there = world()
    there.reconcile()
    there.end_watcher("usage: assay")
    there.settle()
    assert there.condition("Watching").reason == "ReportMissing"


def test_a_word_that_is_lost_with_its_pod_is_asked_for_again():
    there = world()
    there.landed = ["c1"]
    there.reconcile()
    there.watch()
    there.pods = []
    there.settle()
    assert there.made == numbered(1)


@pytest.mark.parametrize(
    ("model", "accepted"),
    [
        ({"backend": "transformers", "name": "$(CHECKPOINT_URI)"}, True),
        ({"backend": "vllm", "name": "base", "args": {"lora": {"paths": ["x=$(CHECKPOINT_URI)"]}}}, True),
        ({"backend": "openai", "name": "run-$(CHECKPOINT_NAME)", "endpoint": {"url": "http://s/v1"}}, True),
        ({"backend": "openai", "name": "m", "server": {"name": "v", "args": ["--lora=$(CHECKPOINT_URI)"]}}, True),
        ({"backend": "transformers", "name": "$(CHECKPOINT)"}, False),
        ({"backend": "transformers", "name": "fixed", "args": {"$(CHECKPOINT_URI)": 1}}, False),
    ],
)
def test_a_template_has_to_say_where_the_checkpoint_comes_in(model, accepted):
    server = {"v": {"image": "vllm:1", "allowedArgs": ["*"]}}
    there = World(schedule=watching(template={"spec": {**JOB, "model": model}}), runtime=runtime(servers=server))
    there.reconcile()
    told = there.condition("Accepted")
    assert (told.status == "True") is accepted
    assert accepted or (told.reason == "CheckpointNotUsed" and "$(CHECKPOINT_URI)" in told.message)
    assert (there.watcher is not None) is accepted


def test_a_folder_that_pods_do_not_share_is_refused():
    there = world(watch={"uri": "file:///data/../home/run"})
    offer = {"volumes": [{"name": "data", "emptyDir": {}}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    there.runtime = runtime(podTemplate=offer)
    there.reconcile()
    assert there.condition("Accepted").reason == "WatchNotShared" and there.watcher is None
    there.schedule = watching(watch={"uri": "file:///data/run"})
    there.reconcile()
    assert there.condition("Accepted").status == "True"


def test_a_watcher_that_is_going_is_waited_for():
    there = world()
    there.reconcile()
    there.watch()
    there.watcher = replace(there.watcher, deleting=True)
    assert there.reconcile().actions == ()
