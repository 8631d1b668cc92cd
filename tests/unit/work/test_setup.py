"""The requests in flight of all workers together stay within what the job allows, also when replicas are added."""

import asyncio
from pathlib import Path

import pytest

from assay_api.plan import ModelPlan, Plan
from assay_api.records import Placement
from assay_api.servers import Server, ServerRef
from assay_api.sidecar import Sidecar
from assay_runner.models.cache import ModelCache
from assay_runner.work.settings import WorkerSettings
from assay_runner.work.setup import model_context, requests_in_flight
from support.runs import AnsweringBackend, planned, worker


@pytest.mark.parametrize("total", [1, 5, 10, 64])
@pytest.mark.parametrize("planned_workers", [1, 2, 3, 5])
@pytest.mark.parametrize("joined", [0, 1, 2, 7])
def test_the_parts_of_all_live_workers_stay_within_the_whole(total, planned_workers, joined):
    placement = Placement(max_concurrency=total, workers=planned_workers)
    live = planned_workers + joined
    indexes = [*range(planned_workers), *(None if n % 2 else planned_workers + n for n in range(joined))]
    parts = [requests_in_flight(placement, index, live) for index in indexes]
    assert all(part >= 1 for part in parts)
    assert sum(parts) <= max(total, live)
    if joined == 0 and total >= planned_workers:
        assert sum(parts) == total


def test_workers_that_ended_give_nobody_more_than_was_planned():
    placement = Placement(max_concurrency=8, workers=4)
    assert [requests_in_flight(placement, index, 1) for index in range(4)] == [2, 2, 2, 2]


def test_a_server_beside_each_worker_takes_the_whole_number_from_each():
    offered = Server.model_validate(
        {"image": "vllm:1", "port": 8123, "readiness": {"path": "/ready", "timeoutSeconds": 9}}
    )
    server = Sidecar.of(ServerRef.model_validate({"name": "vllm"}), offered)
    model = ModelPlan(backend="openai", name="m")
    plan = Plan.model_construct(model=model, batch_size=32)
    context = model_context(
        plan,
        Placement(max_concurrency=64, workers=4),
        WorkerSettings("w", index=1, workers=4),
        cores=1,
        api_key=None,
        model=None,
        cache=ModelCache(Path("cache")),
        live=lambda: 9,
        server=server,
    )
    assert context.concurrency == context.share() == 64
    assert (context.url, context.ready_path, context.ready_seconds) == ("http://127.0.0.1:8123/v1", "/ready", 9)


def test_a_worker_counts_those_that_joined_on_top(tmp_path):
    run = planned(tmp_path)

    async def scene():
        gate = asyncio.Event()
        team = [worker(run, f"w{n}", AnsweringBackend(gate=gate), index=n, workers=1) for n in range(3)]
        going = [asyncio.create_task(one.run()) for one in team]
        async with asyncio.timeout(10):
            while {one.live for one in team} != {3}:
                await asyncio.sleep(0.02)
        gate.set()
        await asyncio.gather(*going)

    asyncio.run(scene())
