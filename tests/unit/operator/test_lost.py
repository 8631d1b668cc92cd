"""A worker that is lost with its node is stood in for at once, and for no longer than it is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from assay_operator.actions import SetJob
from assay_operator.conditions import find
from assay_operator.lost import is_lost
from assay_operator.names import Step
from assay_operator.views import PodView, pod_view
from support.control_plane import START, World, running


def strike(world: World, *indexes: str) -> list[str]:
    """The node of these workers dies; the names of their pods."""
    names = [name for name, pod in world.pods.items() if pod.step == Step.WORK and pod.index in indexes]
    for name in names:
        world.pods[name] = replace(world.pods[name], unreachable=True)
    return names


def indexes(world: World) -> set[str]:
    return {pod.index for pod in world.pods.values() if pod.step == Step.WORK}


def test_others_stand_in_for_workers_whose_node_does_not_answer_until_they_run_again():
    world = running()
    job = world.jobs[Step.WORK]
    lost = strike(world, "1", "2")
    assert world.reconcile().actions == (SetJob(job.name, job.uid, 5, suspend=False),)
    world.work()
    assert world.reconcile().actions == () and indexes(world) == {"0", "1", "2", "3", "4"}
    status = world.status
    assert (status.summary.workers, status.workers.active, status.workers.waiting) == ("3/3", 3, 0)
    assert status.summary.note == "2 workers are lost with a node that does not answer; others stand in."
    for name in lost:
        del world.pods[name]
    assert world.reconcile().actions == (), "those that stand in have a model, and those that come back have none yet"
    world.work()
    assert world.reconcile().actions == (SetJob(job.name, job.uid, 3, suspend=False),)
    world.work()
    assert indexes(world) == {"0", "1", "2"} and world.reconcile().actions == ()


def test_who_stands_in_may_be_lost_too():
    world = running()
    strike(world, "0", "1", "2")
    world.settle()
    assert indexes(world) == {"0", "1", "2", "3", "4", "5"}
    strike(world, "4")
    world.settle()
    assert indexes(world) == {"0", "1", "2", "3", "4", "5", "6"}
    assert world.status.workers.active == 3


def test_a_job_whose_workers_are_all_lost_and_find_no_room_says_so():
    world = running()
    strike(world, "0", "1", "2")
    world.reconcile()
    assert find(world.status.conditions, "Running").reason == "WorkersLost"
    world.add_pod(Step.WORK, phase="Pending", running=False, unschedulable="0/2 nodes are available.")
    world.reconcile()
    assert find(world.status.conditions, "Running").reason == "Unschedulable"


def test_fewer_workers_are_asked_for_at_once_whoever_stands_in():
    world = running()
    strike(world, "0")
    world.settle()
    world.change(replicas=1)
    world.settle()
    assert world.jobs[Step.WORK].parallelism == 2 and world.status.workers.active == 1


def test_a_worker_that_starts_anew_is_no_reason_to_keep_more_than_were_asked_for():
    world = running()
    world.change(replicas=2)
    for name, pod in list(world.pods.items()):
        if pod.step == Step.WORK:
            world.pods[name] = replace(pod, phase="Pending", running=False)
    world.settle()
    assert world.jobs[Step.WORK].parallelism == 2


@pytest.mark.parametrize("spec", [{"queue_name": "gpus"}, {"suspend": True}])
def test_nobody_stands_in_where_a_queue_has_counted_the_workers_or_the_job_is_suspended(spec):
    world = running()
    world.change(**spec)
    strike(world, "0")
    world.reconcile()
    assert world.jobs[Step.WORK].parallelism == 3


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        ({}, False),
        ({"unreachable": True}, True),
        ({"unreachable": True, "phase": "Succeeded"}, False),
        ({"gone_by": START - timedelta(seconds=10), "deleting": True}, False),
        ({"gone_by": START - timedelta(seconds=11), "deleting": True}, True),
        ({"gone_by": START - timedelta(seconds=11), "deleting": True, "phase": "Failed"}, False),
        ({"phase": "Pending", "stranded": True, "created": START - timedelta(seconds=60)}, True),
    ],
)
def test_lost_is_who_neither_ends_nor_can_be_reached_nor_goes(state, lost):
    pod = PodView(**{"name": "p", "uid": "p", "job_uid": "u", "step": "work", "phase": "Running"} | state)
    assert is_lost(pod, START) is lost


@pytest.mark.parametrize(
    ("ready", "containers", "unreachable"),
    [("True", "True", False), ("False", "True", True), ("False", "False", False)],
)
def test_a_pod_is_out_of_reach_when_only_its_node_is_not_ready(ready, containers, unreachable):
    conditions = [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers}]
    pod = pod_view({"status": {"phase": "Running", "conditions": conditions}})
    assert pod.unreachable is unreachable


def test_after_a_failure_of_the_api_server_nodes_have_time_to_tell_that_they_live():
    world = running()
    strike(world, "0")
    world.answering = 19.0
    assert world.reconcile().actions == (), "it may be the API server that heard of nobody"
    assert world.status.summary.note == "A worker is lost with a node that does not answer; the node is waited for."
    world.answering = 20.0
    world.settle()
    assert indexes(world) == {"0", "1", "2", "3"}
    world.answering = 0.0
    strike(world, "1")
    assert world.reconcile().actions == (), "nobody new, and whoever stands in stays"
