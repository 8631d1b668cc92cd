"""Every way a job can be stuck or fail gives its own reason and a sentence, within the time a person would wait for it."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest

from support.e2e import easy_vqa, endpoint_job, runtime, wait_for
from support.endpoint import TestEndpoint, status

pytestmark = pytest.mark.usefixtures("operator")


def seconds(job, moment):
    return (
        datetime.fromisoformat(moment) - datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    ).total_seconds()


def reason_within(lab, ns, name, kind, reason, limit):
    """Wait for the reason of a condition that is False (or of Failed, that is True), and check when it was told."""
    holds = "True" if kind == "Failed" else "False"
    condition = lab.wait_for_condition(ns, name, kind, limit + 30, status=holds, reason=reason)
    job = lab.evaljob(ns, name)
    told = min(
        (event["firstTimestamp"] for event in lab.cluster.get("events", ns=ns)["items"] if event["reason"] == reason),
        default=condition["lastTransitionTime"],
    )
    assert seconds(job, told) <= limit, f"{reason} after {seconds(job, told)} s"
    assert condition["message"].endswith((".", "…")), condition["message"]
    assert job["status"]["summary"]["note"], "the columns say it too"
    return condition["message"]


def test_a_runtime_that_does_not_exist_is_named_within_five_seconds(lab, ns, storage):
    lab.apply(easy_vqa(storage, "lost", runtimeRef={"name": "nowhere"}), ns)
    assert "no ClusterEvalRuntime nowhere" in reason_within(lab, ns, "lost", "Accepted", "RuntimeNotFound", 5)


def test_a_task_that_does_not_exist_is_named_within_five_seconds(lab, ns, storage):
    lab.apply(easy_vqa(storage, "typo", tasks=[{"name": "easy_vqaa"}]), ns)
    message = reason_within(lab, ns, "typo", "Failed", "SpecError", 5)
    assert "easy_vqaa" in message and "easy_vqa" in message.replace("easy_vqaa", "")
    assert lab.evaljob(ns, "typo")["status"]["phase"] == "Failed"


def test_a_missing_secret_is_named_within_fifteen_seconds_and_the_job_goes_on_when_it_appears(lab, s3, ns, stub):
    lab.apply(endpoint_job(stub().url, s3.storage(s3.new_bucket()), "keyless", limit=50), ns)
    message = reason_within(lab, ns, "keyless", "Planned", "SecretMissing", 15)
    assert "Secret store does not exist" in message
    assert not lab.pods(ns, "work"), "no GPU is asked for before"
    s3.secret(ns)
    lab.wait_for_condition(ns, "keyless", "Complete", 120)


def test_a_config_map_that_is_missing_is_named(lab, ns, storage, stub, operator):
    lab.apply(runtime(operator, "code", allowed={"taskCode": True}))
    sources = [{"configMapRef": {"name": "no-tasks"}}]
    lab.apply(endpoint_job(stub().url, storage, "mapless", taskSources=sources, runtimeRef={"name": "code"}), ns)
    assert "ConfigMap no-tasks does not exist" in reason_within(lab, ns, "mapless", "Planned", "ConfigMapMissing", 30)


def test_an_image_that_does_not_exist_has_its_reason_within_a_minute(lab, ns, storage, operator):
    lab.apply(runtime(operator, "imageless", images={"default": "localhost/no-such-image:1"}))
    lab.apply(easy_vqa(storage, "imageless", runtimeRef={"name": "imageless"}), ns)
    assert "localhost/no-such-image:1" in reason_within(lab, ns, "imageless", "Planned", "ImagePullFailed", 60)


def test_a_pod_that_fits_no_node_has_its_reason_within_a_minute(lab, ns, storage, stub):
    template = {"resources": {"limits": {"nvidia.com/gpu": 99}}}
    lab.apply(endpoint_job(stub().url, storage, "huge", limit=50, template=template), ns)
    assert "nvidia.com/gpu" in reason_within(lab, ns, "huge", "Running", "Unschedulable", 60)
    assert lab.evaljob(ns, "huge")["status"]["workers"]["waiting"] == 1


def test_a_worker_out_of_memory_has_its_reason_within_a_minute_and_can_be_given_more(lab, ns, storage, stub):
    template = {"resources": {"limits": {"memory": "40Mi"}}}
    lab.apply(endpoint_job(stub().url, storage, "small", limit=50, template=template), ns)
    message = reason_within(lab, ns, "small", "Running", "OutOfMemory", 60)
    assert "limit 40Mi" in message and "raise resources.limits.memory" in message

    def change(spec):
        lab.cluster.kubectl("patch", "evaljob", "small", "-n", ns, "--type=merge", "-p", json.dumps({"spec": spec}))

    change({"suspend": True})
    lab.wait_for_condition(ns, "small", "Suspended", 30)
    change({"suspend": False, "template": {"resources": {"limits": {"memory": "1Gi"}}}})
    lab.wait_for_condition(ns, "small", "Complete", 120)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "secret key"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "access key"),
    ],
)
def test_wrong_credentials_are_said_at_the_first_try(lab, s3, ns, stub, changed, words):
    s3.secret(ns, **changed)
    lab.apply(endpoint_job(stub().url, s3.storage(s3.new_bucket()), "denied", limit=50), ns)
    message = reason_within(lab, ns, "denied", "Planned", "StoreDenied", 30)
    assert words in message and "testsecret" not in message and "wrong" not in message


def test_a_bucket_that_does_not_exist_is_said(lab, s3, ns, stub):
    s3.secret(ns)
    lab.apply(endpoint_job(stub().url, s3.storage("no-such-bucket"), "bucketless", limit=50), ns)
    assert "no-such-bucket" in reason_within(lab, ns, "bucketless", "Planned", "StoreDenied", 30)


def test_a_model_that_does_not_exist_is_said_by_the_planner(lab, ns, storage):
    lab.apply(easy_vqa(storage, "modelless", model={"backend": "transformers", "name": "/no/such/model"}), ns)
    assert "/no/such/model" in reason_within(lab, ns, "modelless", "Failed", "SpecError", 60)


def test_an_endpoint_that_serves_another_model_is_said_by_the_planner(lab, ns, storage, stub):
    job = endpoint_job(stub().url, storage, "other", limit=50)
    job["spec"]["model"]["name"] = "gpt-7"
    lab.apply(job, ns)
    assert "gpt-7" in reason_within(lab, ns, "other", "Failed", "SpecError", 60)


def test_pods_that_a_quota_refuses_are_told_of(lab, ns, storage, stub):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    lab.apply(quota, ns)
    lab.apply(endpoint_job(stub().url, storage, "refused", limit=50), ns)
    assert "exceeded quota" in reason_within(lab, ns, "refused", "Planned", "PodsRefused", 60)
    lab.cluster.kubectl("delete", "resourcequota", "none", "-n", ns)
    lab.wait_for_condition(ns, "refused", "Complete", 200)


def test_what_a_job_leaves_whose_endpoint_is_gone_is_finished_from_elsewhere(lab, s3, ns, storage, stub):
    with TestEndpoint(host=lab.cluster.host, latency=0.3) as endpoint:
        lab.apply(endpoint_job(endpoint.url, storage, "cut", limit=600, replicas=1, activeDeadlineSeconds=300), ns)
        wait_for(lambda: s3_markers(lab, s3, ns, "cut"), 60, "a committed chunk")
    patch = '{"spec":{"activeDeadlineSeconds":20}}'
    lab.cluster.kubectl("patch", "evaljob", "cut", "-n", ns, "--type=merge", "-p", patch)
    failed = lab.wait_for_condition(ns, "cut", "Failed", 120)
    assert failed["reason"] == "DeadlineExceeded"
    before = s3_markers(lab, s3, ns, "cut")
    assert 0 < len(before) < 24
    stub(port=endpoint.port)
    run = lab.evaljob(ns, "cut")["status"]["plan"]["runUri"]
    for step in (["work", run], ["reduce", run]):
        command = [sys.executable, "-m", "assay_runner", *step]
        done = subprocess.run(command, env=os.environ | s3.server.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert set(before) <= set(s3_markers(lab, s3, ns, "cut")) and "results.json" in s3.keys(run)


def s3_markers(lab, s3, ns, name):
    plan = lab.evaljob(ns, name).get("status", {}).get("plan")
    return [key for key in s3.keys(plan["runUri"]) if key.endswith(".commit")] if plan else []


def test_a_deadline_ends_the_job_and_keeps_what_was_committed(lab, s3, ns, storage, stub):
    job = endpoint_job(stub(latency=0.4).url, storage, "late", limit=2000, replicas=2, activeDeadlineSeconds=25)
    lab.apply(job, ns)
    failed = lab.wait_for_condition(ns, "late", "Failed", 60)
    assert failed["reason"] == "DeadlineExceeded" and "stay in the store" in failed["message"]
    wait_for(lambda: not lab.workers(ns), 90, "workers are gone")
    run = lab.evaljob(ns, "late")["status"]["plan"]["runUri"]
    assert any(key.endswith(".commit") for key in s3.keys(run))


def test_more_failed_samples_than_tolerated_fail_the_job_with_their_number(lab, s3, ns, storage, stub):
    refusals = iter([status(400)] * 5)
    endpoint = stub(fault_for=lambda body: next(refusals, None))
    job = endpoint_job(endpoint.url, storage, "errors", limit=50, errorPolicy={"maxErrorRate": 0.01, "retries": 0})
    lab.apply(job, ns)
    failed = lab.wait_for_condition(ns, "errors", "Failed", 120)
    assert failed["reason"] == "TooManyErrors" and "5 of 50 samples failed" in failed["message"]
    keys = s3.keys(lab.evaljob(ns, "errors")["status"]["plan"]["runUri"])
    assert "results.json" not in keys and "samples.jsonl.zst" in keys
    run = lab.evaljob(ns, "errors")["status"]["plan"]["runUri"]
    accept = [sys.executable, "-m", "assay_runner", "reduce", run, "--max-error-rate", "0.2", "--json"]
    done = subprocess.run(accept, env=os.environ | s3.server.env, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout)["coverage"] == {"samples": 50, "scored": 45, "errors": 5, "chunks": 2}
