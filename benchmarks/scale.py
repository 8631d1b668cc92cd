"""How the operator bears many EvalJobs: `python -m benchmarks.scale --jobs 1000`, on a cluster with kwok.

The API server, its controllers and the scheduler are real; nodes and pods are played by kwok (kwok.yaml): the operator is
what is measured. It runs as a process of this machine. One JSON line comes out. Needs KUBECONFIG of a cluster that may be filled
with objects, and `kwok` and `kubectl` on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from assay_operator.api_server import EVALJOBS, JOBS, PODS, ApiServer, Resource
from assay_operator.apply import status_body
from assay_operator.names import MANAGER

ROOT = Path(__file__).parents[1]
_NODES, _NAMESPACE, _METRICS, _HEALTH = 50, "scale", 19090, 18080
_OURS = "app.kubernetes.io/managed-by=assay"
_LIMITS = {"limit_latency_p99_s": 1.0, "limit_mb": 150, "limit_cores": 1.0, "limit_idle_cores": 0.02}
_AT_ONCE = 20
_SCRAPE_SECONDS = 15.0
"""As often as a Prometheus does, since a scrape is work too."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Times:
    """Moments of each job, in seconds of one monotonic clock, as this process saw them."""

    applied: dict[str, float] = field(default_factory=dict)
    planner: dict[str, float] = field(default_factory=dict)
    """The planner's Job was seen."""
    planned: dict[str, float] = field(default_factory=dict)
    """The planner's pod was seen to have ended."""
    worker: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)


class Usage:
    """What a process uses of memory and processors, from /proc."""

    def __init__(self, pid: int) -> None:
        self._pid, self.peak_mb = pid, 0.0
        self._began, self._cpu = time.monotonic(), self.cpu()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def mb(self) -> float:
        """Resident memory now."""
        text = Path(f"/proc/{self._pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def look(self) -> None:
        """Note the peak."""
        self.peak_mb = max(self.peak_mb, self.mb())

    def cores(self) -> float:
        """Processors used since the last call."""
        now, cpu = time.monotonic(), self.cpu()
        used = (cpu - self._cpu) / (now - self._began)
        self._began, self._cpu = now, cpu
        return used


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument(
        "--finished", type=int, default=0, help="EvalJobs that have ended before, copies of one that has"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="EvalJobs per second")
    parser.add_argument("--idle", type=float, default=120.0, help="seconds of rest that are measured at the end")
    options = parser.parse_args()
    with _kwok():
        if options.finished:
            with _operator() as operator:
                asyncio.run(_measure(operator.pid, 1, options.rate, 0.0))
            asyncio.run(_fill(options.finished))
        with _operator() as operator:
            figures = asyncio.run(_measure(operator.pid, options.jobs, options.rate, options.idle))
    print(json.dumps({"case": "scale", "finished": options.finished, **figures}), flush=True)


async def _fill(count: int) -> None:
    """Make so many copies of an EvalJob that has ended, while no operator looks."""
    await kube_config.load_kube_config()
    async with kube.ApiClient() as client:
        api = ApiServer(client)
        (done, *_) = (await api.list(EVALJOBS, _NAMESPACE)).items

        async def copy(number: int) -> None:
            made = await api.create(EVALJOBS, _evaljob(f"finished-{number}"))
            body = status_body(made, done["status"])
            await api.apply(EVALJOBS, body, manager=MANAGER, subresource="status")

        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(copy(number) for number in range(start, min(count, start + _AT_ONCE))))


async def _measure(pid: int, jobs: int, rate: float, idle: float) -> dict[str, object]:
    await kube_config.load_kube_config()
    times, usage = Times(), Usage(pid)
    async with kube.ApiClient() as client, aiohttp.ClientSession() as session:
        api = ApiServer(client)
        writes = await _status_writes(client)
        watches = [
            asyncio.create_task(_watch_jobs(client, times)),
            asyncio.create_task(_watch_planners(client, times)),
            asyncio.create_task(_watch_evaljobs(client, times)),
        ]
        began = time.monotonic()
        sent = asyncio.create_task(_send(api, times, jobs, rate))
        deepest, scraped = 0.0, began
        while len(times.ended) < jobs:
            await asyncio.sleep(1)
            for task in (*watches, sent):
                if task.done() and task.exception():
                    task.result()
            usage.look()
            if time.monotonic() - scraped >= _SCRAPE_SECONDS:
                scraped = time.monotonic()
                deepest = max(deepest, await _metric(session, "assay_operator_queue_depth"))
        seconds = time.monotonic() - began
        busy = usage.cores()
        for watch in watches:
            watch.cancel()
        writes = await _status_writes(client) - writes
        calls, spent = [await _total(session, f"assay_operator_api_seconds_{part}") for part in ("count", "sum")]
        looks, looking = [
            await _total(session, f"assay_operator_reconcile_seconds_{part}") for part in ("count", "sum")
        ]
        # What the last events cause is no rest.
        await asyncio.sleep(5)
        usage.cores()
        await asyncio.sleep(idle)
        usage.look()
        return {
            "jobs": jobs,
            "rate": rate,
            "seconds": round(seconds, 1),
            "apply_to_planner_s": _percentiles(times.applied, times.planner),
            "planned_to_worker_s": _percentiles(times.planned, times.worker),
            "cores": round(busy, 3),
            "peak_mb": round(usage.peak_mb, 1),
            "idle_mb": round(usage.mb(), 1),
            "idle_cores": round(usage.cores(), 4),
            "idle_seconds": idle,
            "status_writes_per_job": round(writes / jobs, 2),
            "deepest_queue": int(deepest),
            "looks_per_job": round(looks / jobs, 1),
            "look_ms": round(1000 * looking / looks, 1),
            "calls_per_job": round(calls / jobs, 1),
            "call_ms": round(1000 * spent / calls, 1),
            **_LIMITS,
        }


def _percentiles(begun: dict[str, float], ended: dict[str, float]) -> dict[str, float]:
    found = sorted(max(0.0, ended[name] - moment) for name, moment in begun.items() if name in ended)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(found[min(len(found) - 1, int(share * len(found)))], 3) for name, share in at.items()}


async def _send(api: ApiServer, times: Times, jobs: int, rate: float) -> None:
    began = time.monotonic()
    pending = set()
    for number in range(jobs):
        await asyncio.sleep(began + number / rate - time.monotonic())
        name = f"scale-{time.time_ns()}"
        times.applied[name] = time.monotonic()
        pending.add(asyncio.create_task(api.create(EVALJOBS, _evaljob(name))))
        done = {task for task in pending if task.done()}
        pending -= done
        for task in done:
            task.result()
    await asyncio.gather(*pending)


def _evaljob(name: str) -> dict[str, Any]:
    return {
        "apiVersion": EVALJOBS.api_version,
        "kind": EVALJOBS.kind,
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {
            "model": {"backend": "transformers", "name": "model"},
            "tasks": [{"name": "easy_vqa"}],
            "storage": {"uri": "s3://scale/runs"},
            "replicas": 1,
        },
    }


async def _watch_jobs(client: kube.ApiClient, times: Times) -> None:
    async for event in _events(client, JOBS, _OURS):
        labels = event["metadata"]["labels"]
        steps = {"plan": times.planner, "work": times.worker}
        if (step := labels["assay.dev/step"]) in steps:
            steps[step].setdefault(labels["assay.dev/job"], time.monotonic())


async def _watch_planners(client: kube.ApiClient, times: Times) -> None:
    async for event in _events(client, PODS, f"{_OURS},assay.dev/step=plan", "status.phase=Succeeded"):
        times.planned.setdefault(event["metadata"]["labels"]["assay.dev/job"], time.monotonic())


async def _watch_evaljobs(client: kube.ApiClient, times: Times) -> None:
    async for event in _events(client, EVALJOBS, "", whole=True):
        if (event.get("status") or {}).get("completionTime"):
            phase, name = event["status"]["phase"], event["metadata"]["name"]
            assert phase == "Complete", f"{name}: {event['status']}"
            if name in times.applied:
                times.ended.setdefault(name, time.monotonic())


async def _events(
    client: kube.ApiClient, resource: Resource, labels: str, fields: str = "", *, whole: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Objects as a watch tells them, of each its metadata alone unless the whole is asked for."""
    kind = "application/json" if whole else "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    query = f"watch=1&labelSelector={labels}&fieldSelector={fields}"
    _, url, headers, _, _ = await client.param_serialize(
        method="GET",
        resource_path=resource.path(_NAMESPACE),
        header_params={"Accept": kind},
        auth_settings=["BearerToken"],
    )
    while True:
        response = await client.call_api("GET", f"{url}?{query}", headers, None, _request_timeout=3600)
        rest = b""
        async for part in response.response.content.iter_any():
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                yield json.loads(line)["object"]


async def _status_writes(client: kube.ApiClient) -> int:
    """Writes of EvalJobs' statuses so far, as the API server counts them."""
    _, url, headers, _, _ = await client.param_serialize(
        method="GET", resource_path="/metrics", auth_settings=["BearerToken"]
    )
    response = await client.call_api("GET", url, headers, None)
    total = 0.0
    for line in (await response.read()).decode().splitlines():
        if (
            line.startswith("apiserver_request_total{")
            and 'resource="evaljobs"' in line
            and 'subresource="status"' in line
        ):
            total += float(line.rpartition(" ")[2])
    return int(total)


async def _metric(session: aiohttp.ClientSession, name: str) -> float:
    async with session.get(f"http://127.0.0.1:{_METRICS}/metrics") as answer:
        text = await answer.text()
    return float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0])


async def _total(session: aiohttp.ClientSession, name: str) -> float:
    """The sum over all series of a metric."""
    async with session.get(f"http://127.0.0.1:{_METRICS}/metrics") as answer:
        text = await answer.text()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@contextmanager
def _kwok() -> Iterator[None]:
    """Nodes of our own, whose pods kwok plays, and what an EvalJob needs."""
    nodes = [_node(number) for number in range(_NODES)]
    pods = {
        "nodeSelector": {"type": "assay-scale"},
        "tolerations": [{"key": "assay-scale", "operator": "Exists", "effect": "NoSchedule"}],
    }
    runtime = {
        "apiVersion": EVALJOBS.api_version,
        "kind": "ClusterEvalRuntime",
        "metadata": {"name": "default"},
        "spec": {"images": {"default": "assay-runner:scale"}, "podTemplate": pods},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
    _kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    _kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    for item in (namespace, runtime, *nodes):
        _kubectl("apply", "-f", "-", text=json.dumps(item))
    command = ["kwok", "--config", str(ROOT / "benchmarks" / "kwok.yaml")]
    command += [
        "--kubeconfig",
        os.environ["KUBECONFIG"],
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=assay",
    ]
    player = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _kubectl("wait", "--for=condition=Ready", "nodes", "-l", "type=assay-scale", "--timeout=120s")
        yield
    finally:
        player.terminate()
        player.wait(30)


def _node(number: int) -> dict[str, Any]:
    room = {"cpu": "960", "memory": "10Ti", "pods": "10000", "nvidia.com/gpu": "8"}
    name = f"assay-scale-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"type": "assay-scale", "kubernetes.io/hostname": name},
            "annotations": {"kwok.x-k8s.io/node": "assay"},
        },
        "spec": {"taints": [{"key": "assay-scale", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }


@contextmanager
def _operator() -> Iterator[subprocess.Popen[bytes]]:
    own = {"ASSAY_METRICS_PORT": str(_METRICS), "ASSAY_HEALTH_PORT": str(_HEALTH), "ASSAY_LOG_LEVEL": "WARNING"}
    # As in its image.
    own["MALLOC_ARENA_MAX"] = "1"
    process = subprocess.Popen([sys.executable, "-m", "assay_operator.main"], env=os.environ | own)
    try:
        until = time.monotonic() + 300
        # What there was before is looked at once, and nodes settle: none of that is measured.
        quiet = 0
        while quiet < 10:
            quiet = quiet + 1 if asyncio.run(_is_idle()) else 0
            assert process.poll() is None and time.monotonic() < until, "the operator does not come to rest"
            time.sleep(0.5)
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def _is_idle() -> bool:
    """Whether the operator leads and has nothing to look at."""
    async with aiohttp.ClientSession() as session:
        with suppress(aiohttp.ClientError, OSError):
            leads = await _metric(session, "assay_operator_leader") == 1
            return leads and await _metric(session, "assay_operator_queue_depth") == 0
    return False


def _kubectl(*arguments: str, text: str | None = None) -> None:
    subprocess.run(["kubectl", *arguments], input=text, text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    _main()
