"""What the watches have told, and what they owe."""

from datetime import UTC, datetime, timedelta

import pytest

from assay_operator.names import OURS, Step, child_name, labels
from assay_operator.watched import News, Watched
from support.control_plane import UID

KEY = ("research", "job")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watched(clock):
    return Watched(clock)


def evaljob(version="5", uid=UID, name="job", runtime="default", phase="Running"):
    meta = {"namespace": "research", "name": name, "uid": uid, "resourceVersion": version}
    return {"metadata": meta, "spec": {"runtimeRef": {"name": runtime}}, "status": {"phase": phase}}


def child(step, created="2026-01-01T00:00:00Z", **status):
    meta = {"name": child_name("job", UID, step), "uid": f"uid-{step}", "labels": labels("job", UID, step)}
    return {"metadata": meta | {"creationTimestamp": created}, "spec": {}, "status": status}


def runtime(name="default", images=None):
    spec = {"images": images or {"default": "runner:1"}}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "ClusterEvalRuntime", "metadata": {"name": name}, "spec": spec}


def test_children_belong_to_their_evaljob_by_label(watched):
    assert watched.job(child(Step.PLAN), gone=False) is None, "its EvalJob has not been seen yet"
    watched.evaljob(evaljob(), gone=False)
    assert watched.job(child(Step.WORK, active=1), gone=False) == News(KEY, decides=False)
    assert watched.pod(child(Step.WORK, phase="Running"), gone=False) == News(KEY, decides=False)
    assert list(watched.jobs_of(UID)) == [Step.PLAN, Step.WORK] and watched.pods_of(UID)[0].phase == "Running"
    watched.job(child(Step.PLAN), gone=True)
    watched.job(child(Step.WORK), gone=True)
    watched.pod(child(Step.WORK), gone=True)
    assert not watched.jobs_of(UID) and not watched.pods_of(UID)


def test_what_the_next_step_waits_for_is_told_from_what_only_explains(watched):
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    lost = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    watched.evaljob(evaljob(phase="Planning"), gone=False)
    decides = []
    for saw, step, status in (
        (watched.pod, Step.PLAN, {"phase": "Succeeded"}),
        (watched.job, Step.PLAN, done),
        (watched.pod, Step.WORK, {"phase": "Succeeded"}),
        (watched.job, Step.WORK, {"succeeded": 1}),
        (watched.job, Step.WORK, done),
        (watched.job, Step.WORK, done | {"succeeded": 2}),
        (watched.job, Step.REDUCE, lost),
        (watched.job, Step.DELETE, done),
    ):
        news = saw(child(step, **status), gone=False)
        decides.append(news.decides)
        assert saw(child(step, **status), gone=False) is None, "the same once more"
    assert decides == [True, False, False, False, True, False, True, True]
    assert watched.job(child(Step.WORK), gone=True) == News(KEY, decides=True)


def test_that_a_single_pod_starts_and_runs_is_no_news_and_what_hinders_it_is(watched):
    watched.evaljob(evaljob(phase="Reducing"), gone=False)

    def news(**status):
        return watched.pod(child(Step.REDUCE, **status), gone=False)

    def container(**state):
        return {"containerStatuses": [{"name": "runner", "state": state}]}

    assert watched.job(child(Step.REDUCE), gone=False), "there is one"
    assert watched.job(child(Step.REDUCE, active=1), gone=False) is None
    assert news(phase="Pending") is None
    assert news(phase="Pending", **container(waiting={"reason": "ContainerCreating"})) is None
    assert news(phase="Pending", **container(waiting={"reason": "ImagePullBackOff"})) == News(KEY, decides=False)
    assert news(phase="Running", podIP="10.0.0.1", **container(running={})) == News(KEY, decides=False), "no more"
    assert news(phase="Running", podIP="10.0.0.2", **container(running={})) is None
    assert news(phase="Failed", **container(terminated={"exitCode": 1})) == News(KEY, decides=False)


def test_news_of_a_step_that_is_over_are_none_unless_the_job_goes(watched):
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    watched.evaljob(evaljob(phase="Reducing"), gone=False)
    watched.job(child(Step.WORK, **done), gone=False)
    assert watched.job(child(Step.WORK, succeeded=2, **done), gone=False) is None
    assert watched.pod(child(Step.WORK, phase="Succeeded"), gone=False) is None
    going = evaljob(phase="Reducing")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    watched.evaljob(going, gone=False)
    assert watched.pod(child(Step.WORK, phase="Succeeded"), gone=True) == News(KEY, decides=False)


def test_what_ends_after_its_evaljob_is_no_news_unless_that_is_to_be_removed(watched):
    watched.evaljob(ended(), gone=False)
    assert watched.pod(child(Step.WORK, phase="Running"), gone=False)
    assert watched.pod(child(Step.WORK, phase="Failed"), gone=False) is None
    watched.evaljob(ended(deletionTimestamp="2026-01-01T00:00:00Z"), gone=False)
    assert watched.pod(child(Step.WORK, phase="Running"), gone=False)
    assert watched.pod(child(Step.WORK), gone=True)


def test_what_the_operator_wrote_itself_is_no_news(watched):
    raw = evaljob("5")
    assert watched.evaljob(raw, gone=False) == KEY
    written = evaljob("6") | {"status": {"phase": "Complete"}}
    assert watched.evaljob(written, gone=False) is None and watched.seen[KEY].phase == "Complete"
    for change in ({"generation": 2}, {"finalizers": ["x"]}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}):
        raw["metadata"] |= change
        assert watched.evaljob(raw, gone=False) == KEY
    assert watched.evaljob(raw, gone=True) == KEY


def test_a_new_evaljob_is_handed_out_once_as_last_told_until_it_has_a_status_or_goes(watched):
    new = {name: part for name, part in evaljob().items() if name != "status"}
    watched.evaljob(new, gone=False)
    changed = new | {"spec": {"suspend": True}}
    watched.evaljob(changed, gone=False)
    assert watched.take_untouched(KEY) == changed and watched.take_untouched(KEY) is None
    for event in ({"raw": evaljob(), "gone": False}, {"raw": new, "gone": True}):
        watched.evaljob(new, gone=False)
        watched.evaljob(**event)
        assert watched.take_untouched(KEY) is None
    watched.evaljob(new, gone=False)
    watched.forget(KEY)
    assert watched.take_untouched(KEY) is None


def test_a_job_of_somebody_else_is_passed_over(watched):
    assert watched.job({"metadata": {"name": "x", "labels": OURS}}, gone=False) is None


def test_a_runtime_wakes_the_jobs_that_name_it(watched):
    watched.evaljob(evaljob(), gone=False)
    watched.evaljob(evaljob(uid="u2", name="other", runtime="gpu"), gone=False)
    assert watched.runtime(runtime(), gone=False) == [KEY]
    assert watched.runtime_named("default").spec.images.default == "runner:1"
    watched.runtime(runtime(), gone=True)
    assert watched.runtime_named("default") is None


def test_a_runtime_that_cannot_be_understood_counts_as_none(watched):
    watched.runtime(runtime(images={"default": "r", "tpu": "x"}), gone=False)
    assert watched.runtime_named("default") is None


def test_a_watch_that_tells_everything_owes_nothing(watched, clock):
    watched.evaljob(evaljob("5"), gone=False)
    assert watched.listed([evaljob("5")], "9") == []
    watched.evaljob(evaljob("12"), gone=False)
    assert watched.listed([evaljob("5")], "9") == [], "the watch was ahead of the listing"
    watched.evaljob(evaljob("13", uid="new", name="new"), gone=False)
    assert watched.listed([evaljob("12")], "12") == [], "the object came after the listing"
    clock.now += 1000
    assert watched.age == 0


@pytest.mark.parametrize("listing", [[evaljob("8")], [evaljob("5"), evaljob("6", uid="u2", name="other")], []])
def test_a_deaf_watch_ages_until_it_tells_again(watched, clock, listing):
    watched.evaljob(evaljob("5"), gone=False)
    owed = watched.listed(listing, "9")
    assert len(owed) == 1
    clock.now += 50
    assert watched.age == 50
    watched.listed(listing, "9")
    clock.now += 50
    assert watched.age == 100, "another listing does not make it younger"
    for raw in listing:
        watched.evaljob(raw, gone=False)
    if not listing:
        watched.evaljob(evaljob("8"), gone=True)
    assert watched.age == 0


def test_views_of_what_vanished_unseen_are_dropped_but_young_ones_stay(watched):
    watched.evaljob(evaljob(), gone=False)
    watched.job(child(Step.PLAN), gone=False)
    watched.pod(child(Step.WORK, phase="Running"), gone=False)
    watched.pod(child(Step.REDUCE, "2026-01-01T02:00:00Z", phase="Running"), gone=False)
    watched.sweep(set(), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1))
    assert not watched.jobs_of(UID) and [pod.step for pod in watched.pods_of(UID)] == ["reduce"]


def ended(**metadata):
    raw = evaljob("7")
    return {**raw, "metadata": raw["metadata"] | metadata, "status": {"phase": "Complete"}}


def test_of_an_evaljob_that_has_ended_only_children_that_have_not_are_kept(watched):
    watched.evaljob(evaljob(), gone=False)
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    watched.job(child(Step.PLAN, **done), gone=False)
    watched.job(child(Step.WORK), gone=False)
    watched.pod(child(Step.PLAN, phase="Succeeded"), gone=False)
    watched.pod(child(Step.WORK, phase="Running"), gone=False)
    watched.evaljob(ended(), gone=False)
    assert list(watched.jobs_of(UID)) == [Step.WORK] and [pod.step for pod in watched.pods_of(UID)] == ["work"]
    watched.job(child(Step.REDUCE, **done), gone=False)
    assert list(watched.jobs_of(UID)) == [Step.WORK], "what is told later, too"
    watched.job(child(Step.WORK, **done), gone=False)
    watched.pod(child(Step.WORK, phase="Failed"), gone=False)
    assert not watched.has_children


def test_a_look_at_everything_leaves_out_what_has_ended_with_all_its_jobs(watched):
    watched.evaljob(evaljob(), gone=False)
    assert watched.unfinished() == [KEY]
    watched.job(child(Step.WORK), gone=False)
    watched.evaljob(ended(), gone=False)
    assert watched.unfinished() == [KEY], "its workers have to be stopped"
    watched.job(child(Step.WORK), gone=True)
    assert watched.unfinished() == []
    watched.evaljob(ended(deletionTimestamp="2026-01-01T00:00:00Z"), gone=False)
    assert watched.unfinished() == [KEY], "its records may have to go"


def test_only_what_has_not_ended_counts_as_under_way(watched):
    for name in ("a", "b", "c"):
        watched.evaljob(evaljob(uid=name, name=name), gone=False)
    ended = evaljob(uid="a", name="a")
    ended["status"]["phase"] = "Complete"
    watched.evaljob(ended, gone=False)
    assert watched.going == 2
    watched.evaljob(evaljob(uid="b", name="b"), gone=True)
    assert watched.going == 1


def test_a_forgotten_job_leaves_nothing_behind(watched):
    watched.evaljob(evaljob(), gone=False)
    watched.pod(child(Step.WORK), gone=False)
    watched.forget(KEY)
    assert watched.going == 0 and watched.unfinished() == [] and not watched.pods_of(UID) and not watched.seen
