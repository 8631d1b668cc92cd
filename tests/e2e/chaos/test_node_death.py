"""What it costs when a node dies, or is cut off and comes back: its pods' open chunks, and the time until it is noticed.

`make chaos` measures it.
"""

import json
import os
import time
from datetime import datetime

import pytest

from support.e2e import endpoint_job, on_a_laptop, results_of, wait_for

SAMPLES, WORKERS, LATENCY = 2400, 4, 0.3
CHUNK_SECONDS = 25 * LATENCY / (12 / WORKERS)
"""Of 25 samples, with this worker's share of the 12 requests that the job may have in flight."""

pytestmark = [
    pytest.mark.timeout(900, func_only=True),
    pytest.mark.skipif("CHAOS_FAULTS" not in os.environ, reason="a measurement of minutes; `make chaos` runs it"),
]


def test_a_nodes_death_costs_no_more_than_noticing_it_one_chunk_and_one_start_of_a_worker(
    cluster, lab, s3, ns, storage, stub, operator, tmp_path, capsys
):
    if cluster.script is None:
        pytest.skip("nodes of kind are not failed by these tests")
    keep_from_node_2(cluster, operator)
    url = stub(latency=LATENCY).url
    job = {"limit": SAMPLES, "replicas": WORKERS}
    lab.apply(endpoint_job(url, storage, "calm", **job), ns)
    lab.wait_for_condition(ns, "calm", "Planned", 120)
    planned = time.monotonic()
    wait_for(lambda: committed(lab, ns, "calm"), 120, "the first chunk")
    start = max(0.0, time.monotonic() - planned - CHUNK_SECONDS)
    calm = results_of(lab, s3, ns, "calm")
    manifest = endpoint_job(url, storage, "struck", **job)
    lab.apply(manifest, ns)
    wait_for(lambda: committed(lab, ns, "struck") > SAMPLES / 4, 120, "a quarter of the run")
    cluster.fail_node(2)
    began = time.monotonic()
    try:
        wait_for(lambda: not is_ready(cluster, "node-2"), 60, "the node's death is noticed")
        noticed = time.monotonic() - began
        struck = results_of(lab, s3, ns, "struck")
    finally:
        cluster.start_node(2)
    times = {name: seconds(lab.evaljob(ns, name)) for name in ("calm", "struck")}
    figures = {
        "calm_s": times["calm"],
        "struck_s": times["struck"],
        "noticed_s": round(noticed, 1),
        "chunk_s": CHUNK_SECONDS,
        "start_s": round(start, 1),
    }
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert struck == on_a_laptop(manifest, tmp_path) and json.loads(struck)["tasks"] == json.loads(calm)["tasks"]
    assert times["struck"] - times["calm"] < noticed + CHUNK_SECONDS + start, figures


def test_a_node_that_is_cut_off_and_comes_back_changes_no_byte_and_leaves_nothing_behind(
    cluster, lab, s3, ns, storage, stub, operator, tmp_path, capsys
):
    if cluster.script is None:
        pytest.skip("nodes of kind are not cut off by these tests")
    keep_from_node_2(cluster, operator)
    manifest = endpoint_job(stub(latency=LATENCY).url, storage, "cut-off", limit=SAMPLES, replicas=WORKERS)
    lab.apply(manifest, ns)
    wait_for(lambda: committed(lab, ns, "cut-off") > SAMPLES / 4, 120, "a quarter of the run")
    away = {name for name, node in workers(lab, ns) if node == "node-2"}
    assert away
    with cluster.cut_off(2):
        wait_for(lambda: not is_ready(cluster, "node-2"), 60, "the node's silence is noticed")
        wait_for(
            lambda: len([node for _, node in workers(lab, ns) if node == "node-1"]) >= WORKERS, 60, "others stand in"
        )
    wait_for(lambda: is_ready(cluster, "node-2"), 60, "the node is back")
    back = {name for name, _ in workers(lab, ns)} & away
    there = results_of(lab, s3, ns, "cut-off")
    done = committed(lab, ns, "cut-off")
    with capsys.disabled():
        print(
            "\n" + json.dumps({"cut_off": len(away), "back": len(back), "seconds": seconds(lab.evaljob(ns, "cut-off"))})
        )
    assert there == on_a_laptop(manifest, tmp_path) and done == SAMPLES
    jobs = [name for name in lab.children(ns) if name.startswith("Job/")]
    assert sorted(name.rpartition("-")[2] for name in jobs) == ["plan", "reduce", "work"]
    wait_for(lambda: not workers(lab, ns), 60, "no worker runs on")


def workers(lab, ns):
    """Name and node of the work pods that Kubernetes takes for running."""
    return [(pod["metadata"]["name"], pod["spec"]["nodeName"]) for pod in lab.workers(ns)]


def committed(lab, ns, name):
    return lab.evaljob(ns, name).get("status", {}).get("progress", {}).get("samplesDone", 0)


def keep_from_node_2(cluster, operator):
    """An operator that dies with its node has to be replaced first, which is another measurement."""
    cluster.kubectl("cordon", "node-2")
    try:
        for pod in operator.pods():
            if cluster.get("pod", pod, ns="assay-system")["spec"]["nodeName"] == "node-2":
                cluster.kubectl("delete", "pod", pod, "-n", "assay-system", "--wait")
        wait_for(lambda: operator.leader() in operator.pods(), 60, "an operator that leads")
    finally:
        cluster.kubectl("uncordon", "node-2")


def is_ready(cluster, node):
    (found,) = (item for item in cluster.get("nodes")["items"] if item["metadata"]["name"] == node)
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found["status"]["conditions"])


def seconds(job):
    began, ended = job["metadata"]["creationTimestamp"], job["status"]["completionTime"]
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
