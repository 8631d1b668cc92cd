"""The operator's calls against a real API server: server-side apply, preconditions, the Lease."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from assay_operator.api_server import EVENTS, JOBS, LEASES, ApiError, ApiServer
from assay_operator.lease import Leadership, LeaseLock


@pytest.fixture
def with_api(cluster):
    """Run a coroutine function with the API server and a fresh namespace."""

    def run(test):
        async def main(ns):
            await kube_config.load_kube_config(config_file=str(cluster.kubeconfig))
            calls = []
            async with kube.ApiClient() as client:
                await test(ApiServer(client, lambda *call: calls.append(call)), ns)
            assert calls and all(isinstance(status, int) and seconds > 0 for _, _, status, seconds in calls)

        with cluster.namespace() as ns:
            asyncio.run(asyncio.wait_for(main(ns), 60))

    return run


def job(ns, name="j", **spec):
    container = {"name": "runner", "image": "nothing:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"suspend": True, "template": template, **spec}
    meta = {"name": name, "namespace": ns, "labels": {"a": "b"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": body}


def test_applying_twice_makes_one_object_and_changes_nothing(with_api):
    async def test(api, ns):
        first = await api.apply(JOBS, job(ns), manager="test")
        again = await api.apply(JOBS, job(ns), manager="test")
        assert first["metadata"]["uid"] == again["metadata"]["uid"]
        assert first["metadata"]["generation"] == again["metadata"]["generation"]
        listing = await api.list(JOBS, ns, labels="a=b", metadata_only=True)
        assert [item["metadata"]["name"] for item in listing.items] == ["j"] and listing.version.isdecimal()
        assert "spec" not in listing.items[0]

    with_api(test)


def test_only_the_object_that_was_meant_is_removed(with_api):
    async def test(api, ns):
        made = await api.apply(JOBS, job(ns), manager="test")
        await api.delete(JOBS, ns, "j", "00000000-0000-0000-0000-000000000000")
        assert await api.get(JOBS, ns, "j") is not None
        await api.delete(JOBS, ns, "j", made["metadata"]["uid"])
        await api.delete(JOBS, ns, "j", made["metadata"]["uid"])
        assert await api.get(JOBS, ns, "j") is None

    with_api(test)


def test_an_object_that_is_gone_is_not_made_again_by_a_change_that_names_its_uid(with_api):
    async def test(api, ns):
        body = job(ns, "gone")
        body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
        with pytest.raises(ApiError) as refused:
            await api.apply(JOBS, body, manager="test")
        assert refused.value.status == 409

    with_api(test)


def test_a_refusal_says_why(with_api):
    async def test(api, ns):
        with pytest.raises(ApiError) as refused:
            await api.apply(JOBS, job(ns, parallelism=-1), manager="test")
        assert refused.value.status == 422 and "parallelism" in refused.value.message

    with_api(test)


def test_what_does_not_answer_is_an_error_with_status_0_and_is_remembered():
    async def test():
        seconds = 0.0
        settings = kube.Configuration(host="http://127.0.0.1:9")
        async with kube.ApiClient(settings) as client:
            api = ApiServer(client, clock=lambda: seconds)
            seconds = 60.0
            assert api.answering == 60.0
            with pytest.raises(ApiError) as silent:
                await api.list(EVENTS, "default")
            seconds = 61.0
        assert silent.value.status == 0 and api.answering == 1.0

    asyncio.run(test())


def now():
    return datetime.now(UTC)


def test_one_of_two_leads_and_the_other_follows_at_once_when_it_lets_go(with_api):
    async def test(api, ns):
        first, second = (Leadership(api, ns, "lease", name, now) for name in ("first", "second"))
        one = asyncio.create_task(first.hold())
        await asyncio.wait_for(first.leading.wait(), 10)
        two = asyncio.create_task(second.hold())
        await asyncio.sleep(3)
        assert not second.leading.is_set()
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        released = time.monotonic()
        await first.release()
        await asyncio.wait_for(second.leading.wait(), 10)
        assert time.monotonic() - released < 6, "without a release it takes the Lease's 15 seconds"
        lease = await api.get(LEASES, ns, "lease")
        assert lease["spec"]["holderIdentity"] == "second" and lease["spec"]["leaseTransitions"] >= 1
        two.cancel()
        await asyncio.gather(two, return_exceptions=True)

    with_api(test)


def test_a_lease_that_changed_since_it_was_read_is_not_taken(with_api):
    async def test(api, ns):
        first, second = (LeaseLock(api, ns, "lease", name, now) for name in ("first", "second"))
        assert (await first.get("lease", ns))[0] is False
        record = type("Record", (), {"holder_identity": "first"})()
        assert await first.create("lease", ns, record)
        assert not await second.create("lease", ns, record)
        await second.get("lease", ns)
        assert await first.update("lease", ns, record)
        assert not await second.update("lease", ns, record)

    with_api(test)
