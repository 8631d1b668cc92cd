"""Logs come in the order of the steps, whole, once, and with a word about pods that have none."""

import threading
import time

import pytest

from assay_runner.cluster.answers import ApiRefused, ApiUnavailable
from assay_runner.cluster.logs import Follower, read
from assay_runner.cluster.pods import Pod, in_order, selector, servers_in_order

RUNNING, ENDED = {"running": {}}, {"terminated": {"exitCode": 0}}


def pod(step, index=None, state=None, end="x7k2p", created="2026-03-01T12:00:00Z", **status):
    annotations = {"batch.kubernetes.io/job-completion-index": str(index)} if index is not None else {}
    name = f"vqa-1a2b3c4d-{step}{f'-{index}' if index is not None else ''}-{end}"
    if state:
        status["containerStatuses"] = [
            {"name": "sidecar", "state": RUNNING},
            {"name": "runner", "state": state},
        ]
    metadata = {
        "name": name,
        "labels": {"assay.dev/step": step},
        "annotations": annotations,
        "creationTimestamp": created,
    }
    return {"metadata": metadata, "status": status}


def test_pods_are_ordered_by_step_index_and_age():
    later = "2026-03-01T12:01:00Z"
    items = [
        pod("reduce"),
        pod("work", 10),
        pod("work", 2, end="later", created=later),
        pod("work", 2, end="first"),
        pod("plan"),
    ]
    labels = [one.label for one in in_order(items)]
    assert labels == ["plan-x7k2p", "work-2-first", "work-2-later", "work-10-x7k2p", "reduce-x7k2p"]


def test_the_pods_of_one_job_are_found_by_its_uid_and_narrowed_by_step():
    assert selector("u1", None) == "assay.dev/job-uid=u1"
    assert selector("u1", "work") == "assay.dev/job-uid=u1,assay.dev/step=work"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            pod("work", 0, {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
            "ImagePullBackOff: no such image",
        ),
        (pod("work", 0, {"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating"),
        (
            pod(
                "work",
                0,
                phase="Pending",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/2 nodes are available.",
                    }
                ],
            ),
            "Unschedulable: 0/2 nodes are available.",
        ),
        (pod("work", 0, phase="Failed", reason="Evicted", message="The node was low."), "Evicted: The node was low."),
        (pod("plan", phase="Pending"), "Pending"),
        (pod("plan", state=RUNNING), ""),
        (pod("plan", state=ENDED), ""),
    ],
)
def test_a_pod_without_a_log_says_why(data, why):
    assert Pod.of(data).waits == why


class Kubelet:
    """Logs by pod; an exception among the lines breaks the stream, once."""

    def __init__(self, **logs):
        self.logs, self.asked = logs, []

    def log(self, namespace, pod, *, follow, since=None, container="runner"):
        self.asked.append((pod, since))
        for line in list(self.logs[pod.partition("-")[0]]):
            if isinstance(line, Exception):
                self.logs[pod.partition("-")[0]].remove(line)
                raise line
            if not isinstance(line, threading.Event):
                yield line
            else:
                line.wait(10)


def served(index, state, last=None, phase="Running"):
    data = pod("work", index, RUNNING, phase=phase)
    data["spec"] = {"initContainers": [{"name": "server"}]}
    data["status"]["initContainerStatuses"] = [{"name": "server", "state": state, "lastState": last or {}}]
    return data


def test_servers_beside_workers_have_logs_of_their_own_while_their_pods_live():
    back_off = {"waiting": {"reason": "CrashLoopBackOff"}}
    pulling = {"waiting": {"reason": "ImagePullBackOff"}}
    found = servers_in_order(
        [pod("plan", state=ENDED), served(3, ENDED, phase="Succeeded"), served(0, RUNNING), served(1, back_off, ENDED),
         served(2, pulling)]
    )  # fmt: skip
    assert [server.label for server in found] == [f"server-{index}-x7k2p" for index in range(4)]
    assert {server.container for server in found} == {"server"}
    assert [server.started for server in found] == [True, True, False, True]
    assert [server.ended for server in found] == [False, False, False, True]
    assert found[2].waits == "ImagePullBackOff"


def named(name, step, state, index=None):
    data = pod(step, index, state)
    data["metadata"]["name"] = f"{name}-x7k2p"
    return data


def test_what_pods_said_is_marked_with_where_it_comes_from():
    kubelet = Kubelet(
        a=["2026-03-01T12:00:00.1Z planned", "2026-03-01T12:00:01Z "],
        b=[ApiRefused('pods "b" not found.', 404, {})],
    )
    pods = in_order([named("a", "plan", ENDED), named("b", "work", ENDED, 0), pod("work", 1, phase="Pending")])
    assert list(read(kubelet, "ns", pods)) == [
        "plan-x7k2p | planned",
        "plan-x7k2p | ",
        'work-0-x7k2p | (no log: pods "b" not found.)',
        "work-1-x7k2p | (no log: Pending)",
    ]


def follow(follower, *looks):
    """What comes of looking at these pods, then at the last of them until nothing more is to come."""
    lines, deadline = [], time.monotonic() + 10
    for pods in [*looks, *[looks[-1]] * 1000]:
        follower.look(pods)
        time.sleep(0.01)
        lines += follower.lines()
        if len(lines) and follower.done(pods) and pods is looks[-1]:
            return lines
        assert time.monotonic() < deadline
    raise AssertionError("never done")


def test_a_stream_that_breaks_is_taken_up_where_it_broke_and_no_line_comes_twice():
    first = ["2026-03-01T12:00:00.1Z one", "2026-03-01T12:00:00.12Z two"]
    kubelet = Kubelet(a=[*first, ApiUnavailable("broken"), "2026-03-01T12:00:00.123Z three"])
    running, ended = in_order([named("a", "work", RUNNING, 0)]), in_order([named("a", "work", ENDED, 0)])
    assert follow(Follower(kubelet, "ns"), running, running, ended) == [
        f"work-0-x7k2p | {text}" for text in ("one", "two", "three")
    ]
    assert kubelet.asked[1][1] == "2026-03-01T12:00:00.12Z"


def test_pods_that_come_later_are_followed_too_and_those_that_wait_say_why_once():
    kubelet = Kubelet(a=["2026-03-01T12:00:00Z plan"], b=["2026-03-01T12:00:05Z work"])
    waiting = named("b", "work", {"waiting": {"reason": "ContainerCreating"}}, 0)
    lines = follow(
        Follower(kubelet, "ns"),
        in_order([named("a", "plan", RUNNING)]),
        in_order([named("a", "plan", ENDED), waiting]),
        in_order([named("a", "plan", ENDED), waiting]),
        in_order([named("a", "plan", ENDED), named("b", "work", ENDED, 0)]),
    )
    assert sorted(lines) == [
        "plan-x7k2p | plan",
        "work-0-x7k2p | (no log yet: ContainerCreating)",
        "work-0-x7k2p | work",
    ]


def test_the_end_is_not_reached_while_a_pod_still_talks():
    more = threading.Event()
    follower = Follower(Kubelet(a=["2026-03-01T12:00:00Z one", more, "2026-03-01T12:00:01Z two"]), "ns")
    ended = in_order([named("a", "work", ENDED, 0)])
    follower.look(ended)
    time.sleep(0.05)
    assert list(follower.lines()) == ["work-0-x7k2p | one"] and not follower.done(ended)
    more.set()
    assert follow(follower, ended) == ["work-0-x7k2p | two"]
