"""Schedules against a real API server: what is made is accepted, and what was found becomes one EvalJob. No pod runs: a pod's
end is written into its status, as a kubelet does."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from assay_api.reports import Landed, Watched
from assay_operator.api_server import EVALJOBS, EVALSCHEDULES, EVENTS, JOBS, PODS, ApiServer
from assay_operator.complaints import Complaints
from assay_operator.schedules.controller import ScheduleController
from assay_operator.schedules.names import SCHEDULE_UID
from support.control_plane import runtime
from support.manifests import JOB, SCHEDULE, WATCH, changed

STORAGE = {"uri": "s3://evals/runs", "credentialsSecretRef": {"name": "s3"}}


@pytest.fixture
def follow(served):
    """Make the schedule and run a coroutine function with the API server, its namespace, and a function that reconciles."""

    def run(manifest, test):
        async def main(ns):
            await kube_config.load_kube_config(config_file=str(served.kubeconfig))
            async with kube.ApiClient() as client:
                api = ApiServer(client)
                await api.create(EVALSCHEDULES, {**manifest, "metadata": {**manifest["metadata"], "namespace": ns}})
                late = {"by": timedelta()}

                def now():
                    return datetime.now(UTC) + late["by"]

                complaints = Complaints(api, now, time.monotonic)
                controller = ScheduleController(api, lambda name: runtime(), complaints, now=now, identity="test")

                async def reconcile(**by):
                    late["by"] += timedelta(**by)
                    return await controller.reconcile((ns, manifest["metadata"]["name"]))

                await test(api, ns, reconcile)

        with served.namespace() as ns:
            asyncio.run(asyncio.wait_for(main(ns), 90))

    return run


async def status(api, ns, name="nightly"):
    return (await api.get(EVALSCHEDULES, ns, name))["status"]


def test_a_time_that_comes_makes_one_evaljob_that_is_the_schedules(follow):
    async def test(api, ns, reconcile):
        assert (await reconcile()).again_in
        await reconcile(days=1)
        await reconcile()
        (job,) = (await api.list(EVALJOBS, ns)).items
        schedule = await api.get(EVALSCHEDULES, ns, "nightly")
        assert job["metadata"]["ownerReferences"][0]["uid"] == schedule["metadata"]["uid"]
        assert job["metadata"]["labels"]["team"] == "a"
        assert schedule["status"]["active"] == [job["metadata"]["name"]]
        events = [item["reason"] for item in (await api.list(EVENTS, ns)).items]
        assert events == ["Started"]

    follow(changed(SCHEDULE, template__metadata={"labels": {"team": "a"}}, template__spec__storage=STORAGE), test)


def test_what_a_pod_has_found_becomes_its_evaljob_and_the_next_pod_knows(follow, served):
    async def until(what):
        while not (seen := await what()):
            await asyncio.sleep(0.1)
        return seen

    async def test(api, ns, reconcile):
        await reconcile()
        (job,) = (await api.list(JOBS, ns)).items

        async def pods():
            return (await api.list(PODS, ns, labels=f"{SCHEDULE_UID}={(await uid())}")).items

        async def uid():
            return (await api.get(EVALSCHEDULES, ns, "nightly"))["metadata"]["uid"]

        (pod,) = await until(pods)
        word = Watched(found=(Landed(number=1, name="checkpoint-5"),)).encode().decode()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"terminated": {"exitCode": 0, "message": word, "startedAt": now, "finishedAt": now}}
        container = {"name": "runner", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": ended}
        body = json.dumps({"status": {"phase": "Succeeded", "containerStatuses": [container]}})
        served.kubectl(
            "patch", "pod", pod["metadata"]["name"], "-n", ns, "--subresource=status", "--type=merge", "-p", body
        )

        async def found():
            await reconcile()
            return (await status(api, ns)).get("watch", {}).get("found")

        await until(found)
        (evaljob,) = (await api.list(EVALJOBS, ns)).items
        assert evaljob["metadata"]["name"] == "nightly-1"
        assert evaljob["spec"]["model"]["name"] == "s3://train/run-7/checkpoint-5"

        async def next_one():
            await reconcile()
            others = (await api.list(JOBS, ns)).items
            return [each for each in others if each["metadata"]["uid"] != job["metadata"]["uid"]]

        (after,) = await until(next_one)
        arguments = after["spec"]["template"]["spec"]["containers"][0]["args"]
        assert arguments[arguments.index("--after") + 1] == "1"
        served.kubectl("patch", "es", "nightly", "-n", ns, "--type=merge", "-p", '{"spec":{"suspend":true}}')
        await reconcile()
        assert (await api.list(JOBS, ns)).items == () and len((await api.list(EVALJOBS, ns)).items) == 1

    of_checkpoint = {
        **JOB["spec"],
        "model": {"backend": "transformers", "name": "$(CHECKPOINT_URI)"},
        "storage": STORAGE,
    }
    follow(changed(SCHEDULE, cron=None, watch=WATCH, template={"spec": of_checkpoint}), test)
