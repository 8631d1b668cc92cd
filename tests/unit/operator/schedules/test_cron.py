"""What cron starts, by the rules of CronJob: missed runs, deadlines, concurrency, histories, suspension."""

from dataclasses import replace
from datetime import timedelta

import pytest

from assay_operator.schedules.decide import decide
from support.schedules import START, World, schedule

HOUR = int(START.timestamp()) // 60


def name(hours):
    return f"nightly-{HOUR + 60 * hours}"


def world(**spec):
    return World(schedule=schedule(**spec))


def test_nothing_is_started_before_its_time_and_the_next_look_is_not_later_than_it():
    there = world()
    there.pass_time(minutes=58)
    decision = there.reconcile()
    assert there.made == [] and decision.requeue == 120
    assert there.condition("Accepted").status == there.condition("OnTime").status == "True"


def test_at_its_time_one_is_started_once_under_the_name_of_the_minute():
    there = world()
    there.pass_time(hours=1, seconds=3)
    there.settle()
    assert there.made == [name(1)] and there.status.active == [name(1)] and there.status.active_count == 1
    assert there.status.last_schedule_time == START + timedelta(hours=1)
    assert there.told == ["Started"]


def test_of_missed_runs_only_the_latest_is_started():
    there = world()
    there.pass_time(hours=5, minutes=30)
    there.settle()
    assert there.made == [name(5)] and there.condition("OnTime").status == "True"


def test_more_than_a_hundred_missed_runs_are_told_until_the_next_is_on_time():
    there = world()
    there.pass_time(hours=101)
    there.settle()
    assert there.made == [name(101)]
    assert there.condition("OnTime").reason == "TooManyMissed" and "TooManyMissed" in there.told
    assert "startingDeadlineSeconds" in there.status.note
    there.pass_time(hours=1)
    there.settle()
    assert there.made[1:] == [name(102)] and there.condition("OnTime").status == "True" and there.status.note == ""


def test_with_a_deadline_many_missed_runs_are_no_trouble():
    there = world(startingDeadlineSeconds=3600)
    there.pass_time(hours=500)
    there.settle()
    assert there.made == [name(500)] and there.condition("OnTime").status == "True"


def test_a_run_that_is_later_than_its_deadline_is_not_started_and_is_told_once():
    there = world(startingDeadlineSeconds=60)
    there.pass_time(hours=1, minutes=5)
    there.settle()
    there.pass_time(minutes=1)
    there.settle()
    assert there.made == [] and there.told == ["StartMissed"]
    assert "01:00 UTC was not started" in there.status.note
    there.pass_time(minutes=54)
    there.settle()
    assert there.made == [name(2)] and there.status.note == ""


@pytest.mark.parametrize(
    ("policy", "made", "active"),
    [("Allow", [1, 2], [1, 2]), ("Forbid", [1], [1]), ("Replace", [1, 2], [2])],
)
def test_the_concurrency_policy_says_what_happens_to_one_that_has_not_ended(policy, made, active):
    there = world(concurrencyPolicy=policy)
    there.pass_time(hours=1)
    there.settle()
    there.pass_time(hours=1)
    there.settle()
    assert there.made == [name(hour) for hour in made]
    assert there.active() == there.status.active == [name(hour) for hour in active]


def test_a_forbidden_run_is_told_of_and_the_latest_starts_when_the_other_has_ended():
    there = world(concurrencyPolicy="Forbid")
    there.pass_time(hours=1)
    there.settle()
    there.pass_time(hours=2)
    there.settle()
    assert there.condition("OnTime").reason == "WaitsForItsTurn" and name(1) in there.status.note
    there.pass_time(minutes=10)
    there.end(name(1))
    there.settle()
    assert there.made == [name(1), name(3)] and there.condition("OnTime").status == "True"
    assert there.status.last_successful_time == START + timedelta(hours=3, minutes=10)


@pytest.mark.parametrize(("limits", "kept"), [({}, [3, 4, 5, 8]), ({"successfulJobsHistoryLimit": 0}, [8])])
def test_ended_ones_beyond_the_history_go_oldest_first(limits, kept):
    there = world(**limits)
    for hour in range(1, 9):
        there.now = START + timedelta(hours=hour)
        there.settle()
        there.end(name(hour), well=hour < 6)
    there.settle()
    assert sorted(there.children) == [name(hour) for hour in kept]
    assert there.status.last_successful_time == START + timedelta(hours=5)


def test_suspended_it_starts_nothing_and_resumed_the_latest_missed_run():
    there = world(suspend=True)
    there.pass_time(hours=3)
    there.settle()
    assert there.made == [] and there.condition("OnTime").reason == "Suspended"
    there.change(suspend=False)
    there.settle()
    assert there.made == [name(3)]


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_an_operator_that_dies_after_any_call_starts_nothing_twice(policy):
    for survives in range(4):
        there = world(concurrencyPolicy=policy, successfulJobsHistoryLimit=0)
        there.pass_time(hours=1)
        there.reconcile(survives=survives)
        if there.active():
            there.end(name(1))
            # A successor must have it in the status before its history lets it go.
            there.reconcile(survives=2)
        there.settle()
        assert there.made == [name(1)]


def test_one_that_was_made_by_an_operator_that_died_does_not_wait_for_itself():
    there = world(concurrencyPolicy="Forbid")
    there.pass_time(hours=1)
    there.reconcile(survives=1)
    assert there.made == [name(1)] and there.status.last_schedule_time is None
    there.settle()
    assert there.status.last_schedule_time == START + timedelta(hours=1)
    assert there.condition("OnTime").status == "True"


def test_a_template_that_may_not_run_is_told_with_its_field_and_holds_the_schedule():
    there = world()
    there.runtime = None
    there.pass_time(hours=1)
    there.settle()
    accepted = there.condition("Accepted")
    assert (accepted.status, accepted.reason) == ("False", "RuntimeNotFound")
    assert accepted.message.startswith("spec.template.spec.runtimeRef.name:") and there.made == []


def test_a_schedule_that_cannot_be_followed_is_told():
    there = world(cron={"schedule": "0 0 30 2 *"})
    there.reconcile()
    assert there.condition("Accepted").reason == "InvalidCron" and "never comes" in there.status.note


def test_one_that_is_being_deleted_is_left_to_kubernetes():
    there = world()
    there.pass_time(hours=1)
    assert decide(replace(there.seen(), deleting=True), there.now).actions == ()
