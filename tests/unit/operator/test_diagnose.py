"""What Kubernetes says in many places becomes one word and one sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assay_operator.diagnose import ended_trouble, is_silent, server_trouble, waiting_trouble, what_hinders, why_failed
from assay_operator.views import JobView, PodView, ServerView, job_view, pod_view
from support.control_plane import ended

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POD = PodView(name="p", uid="p", job_uid="u", step="work", index="0", image="runner:1", created=NOW)
JOB = JobView(name="j", uid="j", created=NOW)


def waiting(reason, message=""):
    return replace(POD, waiting=reason, waiting_message=message)


def failed(code, message="", **state):
    return replace(POD, phase="Failed", exit_code=code, message=message, **state)


@pytest.mark.parametrize(
    ("pod", "reason", "sentence"),
    [
        (
            replace(POD, unschedulable="0/2 nodes are available: 2 Insufficient cpu. preemption: none helps."),
            "Unschedulable",
            "0/2 nodes are available: 2 Insufficient cpu.",
        ),
        (
            waiting("ErrImagePull", 'rpc error: code = NotFound desc = failed to resolve reference "r/x:1": not found'),
            "ImagePullFailed",
            'image runner:1 cannot be pulled: failed to resolve reference "r/x:1": not found.',
        ),
        (
            waiting("InvalidImageName", "couldn't parse image"),
            "ImagePullFailed",
            "image runner:1 cannot be pulled: couldn't parse image.",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "s3" not found'),
            "SecretMissing",
            "Secret s3 does not exist here; create it and the job goes on.",
        ),
        (
            waiting("CreateContainerConfigError", "couldn't find key AWS_ACCESS_KEY_ID in Secret research/s3"),
            "SecretKeyMissing",
            "Secret s3 has no key AWS_ACCESS_KEY_ID; add it and the job goes on.",
        ),
        (
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            "ContainerConfig",
            "container has runAsNonRoot and image will run as root.",
        ),
        (
            waiting("RunContainerError", 'exec: "assay": not found'),
            "ContainerCannotStart",
            'exec: "assay": not found.',
        ),
        (waiting("ContainerCreating"), None, None),
    ],
)
def test_a_pod_that_does_not_start_says_why(pod, reason, sentence):
    trouble = waiting_trouble(pod)
    assert (trouble and trouble.reason, trouble and trouble.message) == (reason, sentence)


def with_server(**state):
    return replace(POD, waiting="PodInitializing", server=ServerView(image="vllm:1", **state))


@pytest.mark.parametrize(
    ("pod", "reason", "sentence"),
    [
        (
            with_server(waiting="ErrImagePull", waiting_message="not found"),
            "ImagePullFailed",
            "image vllm:1 cannot be pulled: not found.",
        ),
        (
            with_server(waiting="CreateContainerConfigError", waiting_message='secret "hub" not found'),
            "SecretMissing",
            "Secret hub does not exist here; create it and the job goes on.",
        ),
        (
            with_server(waiting="RunContainerError", waiting_message='exec: "vllm": not found'),
            "ContainerCannotStart",
            'exec: "vllm": not found.',
        ),
        (
            with_server(waiting="CrashLoopBackOff", exit_code=2, restarts=3, message="usage\nno such option: --x"),
            "ServerFailed",
            "the server beside worker 0 ended with exit code 2, 4 times so far: no such option: --x.",
        ),
        (
            with_server(exit_code=137, ended_reason="OOMKilled", memory_limit="64Gi"),
            "ServerFailed",
            "the server beside worker 0 was killed because it ran out of memory (limit 64Gi); the runtime's servers say how "
            "much it gets.",
        ),
        (
            with_server(waiting="CrashLoopBackOff", exit_code=128, ended_reason="StartError", message="no such file"),
            "ServerFailed",
            "the server beside worker 0 could not be started (StartError): no such file.",
        ),
        (with_server(waiting="ContainerCreating"), None, None),
        (with_server(running=True, started=NOW), None, None),
    ],
)
def test_a_pod_whose_server_does_not_start_says_why(pod, reason, sentence):
    trouble = waiting_trouble(pod)
    assert (trouble and trouble.reason, trouble and trouble.message) == (reason, sentence)


def test_a_server_that_runs_again_is_trouble_until_something_is_committed():
    again = with_server(running=True, restarts=1, exit_code=9, started=NOW + timedelta(seconds=30))
    assert server_trouble(again, NOW).reason == "ServerFailed"
    assert server_trouble(again, NOW + timedelta(seconds=31)) is None


def test_a_server_that_ends_with_its_worker_is_no_trouble():
    assert server_trouble(replace(with_server(exit_code=143), phase="Running", exit_code=0), NOW) is None


def test_a_pod_that_says_nothing_is_spoken_for_by_its_events():
    message = 'MountVolume.SetUp failed for volume "tasks-0" : configmap "my-tasks" not found'
    assert waiting_trouble(POD, message).reason == "ConfigMapMissing"
    assert waiting_trouble(POD, "Unable to attach volume").message == "Unable to attach volume."
    late = NOW + timedelta(seconds=5)
    assert is_silent(waiting("ContainerCreating"), late) and not is_silent(POD, NOW)
    assert not is_silent(waiting("ErrImagePull"), late) and not is_silent(replace(POD, phase="Running"), late)


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (failed(137, ended_reason="OOMKilled", memory_limit="64Mi"), "OutOfMemory", "worker 0 was killed .*limit 64Mi"),
        (failed(1, ended("StoreDenied", "The secret key is wrong.")), "StoreDenied", "^The secret key is wrong.$"),
        (failed(2, "first\nlast line"), "ContainerFailed", "exit code 2: last line"),
        (failed(1), "ContainerFailed", "worker 0 ended with exit code 1\\.$"),
        (failed(None, pod_reason="Evicted", pod_message="low on disk"), "Evicted", "evicted: low on disk"),
        (failed(128, ended_reason="StartError", message="no such file"), "ContainerCannotStart", "no such file"),
    ],
)
def test_a_pod_that_failed_says_why(pod, reason, words):
    import re

    trouble = ended_trouble(pod)
    assert trouble.reason == reason and re.search(words, trouble.message)


@pytest.mark.parametrize("pod", [failed(75), failed(137, disrupted=True), replace(POD, phase="Succeeded", exit_code=0)])
def test_a_pod_that_was_stopped_or_preempted_or_ended_well_is_no_failure(pod):
    assert ended_trouble(pod) is None


def test_a_wrong_spec_outweighs_later_failures_of_other_pods():
    wrong = failed(64, ended("SpecError", "No such model.", 64))
    later = replace(failed(1, "boom"), name="q", created=NOW + timedelta(seconds=9))
    assert why_failed(replace(JOB, failure="x"), [wrong, later]).reason == "SpecError"
    assert why_failed(replace(JOB, failure="x"), [replace(wrong, exit_code=1), later]).message.endswith("boom.")


def test_a_job_without_pods_that_tell_speaks_for_itself():
    job = replace(JOB, failure="BackoffLimitExceeded", failure_message="Job has reached the specified backoff limit")
    assert why_failed(job, []).reason == "BackoffLimitExceeded"


def test_pods_that_nobody_may_create_are_told_by_the_jobs_events():
    message = 'Error creating: pods "x" is forbidden: exceeded quota: pods, requested: pods=1'
    trouble, waiting_pods = what_hinders(JOB, [], {"j": message}, NOW)
    assert (trouble.reason, waiting_pods) == ("PodsRefused", 0) and "exceeded quota" in trouble.message


def test_a_failed_pod_is_no_trouble_while_others_work():
    others = [failed(1, "boom"), replace(POD, phase="Running")]
    assert what_hinders(JOB, others, {}, NOW) == (None, 0)
    assert what_hinders(JOB, others[:1], {}, NOW)[0].reason == "ContainerFailed"


@pytest.mark.parametrize(
    ("state", "sandbox", "stranded"),
    [
        ({"containerID": "containerd://e8", "state": {"waiting": {}}}, "False", True),
        ({"containerID": "containerd://e8", "state": {"waiting": {}}}, "True", False),
        ({"containerID": "containerd://e8", "state": {"running": {}}}, "False", False),
        ({"containerID": "containerd://e8", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}, "False", False),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "False", False),
    ],
)
def test_a_container_that_was_made_and_whose_sandbox_is_gone_is_stranded(state, sandbox, stranded):
    conditions = [{"type": "PodReadyToStartContainers", "status": sandbox}]
    status = {"phase": "Pending", "conditions": conditions, "containerStatuses": [{"name": "runner"} | state]}
    assert pod_view({"status": status}).stranded is stranded


def test_what_the_api_server_sends_is_read_as_it_is():
    pod = pod_view(
        {
            "metadata": {"name": "p", "uid": "1", "annotations": {"batch.kubernetes.io/job-completion-index": "2"}},
            "spec": {"containers": [{"name": "runner", "image": "i", "resources": {"limits": {"memory": "1Gi"}}}]},
            "status": {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [
                    {
                        "name": "runner",
                        "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "m"}},
                    }
                ],
            },
        }
    )
    assert (pod.index, pod.memory_limit, pod.exit_code, pod.ended_reason, pod.disrupted) == (
        "2", "1Gi", 137, "OOMKilled", True,
    )  # fmt: skip
    job = job_view(
        {
            "metadata": {"name": "j", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"suspend": True, "parallelism": 3},
            "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]},
        }
    )
    assert job.deleting and job.suspended and job.parallelism == 3 and job.failure == "PodFailurePolicy"
    sidecar = pod_view(
        {
            "metadata": {"name": "p", "uid": "1"},
            "spec": {"initContainers": [{"name": "server", "image": "v", "resources": {"limits": {"memory": "2Gi"}}}]},
            "status": {
                "initContainerStatuses": [
                    {
                        "name": "server",
                        "restartCount": 2,
                        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                        "lastState": {"terminated": {"exitCode": 9, "reason": "Error", "message": "m"}},
                    }
                ]
            },
        }
    )
    assert sidecar.server == ServerView(
        image="v",
        memory_limit="2Gi",
        running=True,
        started=NOW,
        restarts=2,
        exit_code=9,
        ended_reason="Error",
        message="m",
    )
    assert pod_view({}).server is None
    assert pod_view({}).phase == "Pending" and not job_view({}).finished
