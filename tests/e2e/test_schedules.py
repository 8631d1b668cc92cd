"""Schedules on a real cluster: a checkpoint that lands is evaluated once, and a time that comes starts a job."""

import json

import pytest

from support.e2e import endpoint_job, evalschedule, wait_for
from support.endpoint import MODEL

pytestmark = pytest.mark.usefixtures("operator")


def test_a_checkpoint_is_evaluated_when_it_has_landed_and_everything_goes_with_the_schedule(lab, s3, ns, storage, stub):
    bucket, endpoint = s3.new_bucket(), stub(models=(MODEL, "checkpoint-5"))
    job = endpoint_job(endpoint.url, storage, "run-7", limit=25)
    job["spec"]["model"]["name"] = "$(CHECKPOINT_NAME)"
    watch = {"uri": f"s3://{bucket}/run-7", "readyFile": "DONE", "pollSeconds": 1}
    lab.apply(
        evalschedule("nightly", endpoint_job(endpoint.url, storage, "x", limit=25), cron={"schedule": "* * * * *"}), ns
    )
    lab.apply(evalschedule("run-7", job, watch=watch, concurrencyPolicy="Forbid"), ns)

    def status(name="run-7"):
        return lab.cluster.get("evalschedule", name, ns=ns).get("status", {})

    def condition(kind):
        return next((item for item in status().get("conditions", []) if item["type"] == kind), {})

    client = s3.server.client()
    client.put_object(Bucket=bucket, Key="run-7/checkpoint-5/weights", Body=b"w")
    wait_for(lambda: condition("Watching").get("status") == "True", 60, "a pod that watches")
    assert not lab.cluster.names("evaljobs.assay.dev", ns=ns, selector="assay.dev/schedule=run-7")
    client.put_object(Bucket=bucket, Key="run-7/checkpoint-5/DONE", Body=b"")
    wait_for(lambda: status().get("lastSuccessfulTime"), 120, "the checkpoint's EvalJob is complete")
    made = lab.evaljob(ns, "run-7-1")
    assert made["metadata"]["annotations"]["assay.dev/checkpoint"] == f"s3://{bucket}/run-7/checkpoint-5"
    assert made["spec"]["model"]["name"] == "checkpoint-5"
    watched = status()["watch"]
    assert (watched["found"], watched["started"], watched["lastCheckpoint"]) == (1, 1, "checkpoint-5")
    assert any(key.endswith("/found/000001.json") for key in s3.keys(storage["uri"]))

    wait_for(lambda: status("nightly").get("lastScheduleTime"), 90, "a run by cron")
    assert lab.cluster.names("evaljobs.assay.dev", ns=ns, selector="assay.dev/schedule=nightly")
    told = [reason for _, reason, _ in lab.events(ns, "run-7")]
    assert "Watching" in told and "Started" in told

    wait_for(lambda: lab.pods(ns, "watch"), 60, "the next pod that watches")
    stop = json.dumps({"spec": {"suspend": True}})
    lab.cluster.kubectl("patch", "es", "run-7", "-n", ns, "--type=merge", "-p", stop)
    wait_for(lambda: not lab.pods(ns, "watch"), 90, "no pod that watches while suspended")
    lab.cluster.kubectl("delete", "es", "--all", "-n", ns)
    wait_for(lambda: not lab.cluster.names("evaljobs.assay.dev", ns=ns) and not lab.children(ns), 90, "nothing is left")
