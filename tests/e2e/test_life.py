"""EvalJobs from apply to results on a real cluster, through everything that happens to them on the way; always the same bytes."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.e2e import NAMESPACE, easy_vqa, endpoint_job, on_a_laptop, results_of, wait_for

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(420, func_only=True)]


def columns(lab, ns, name):
    """The row of `kubectl get evaljobs` by column; the note, which has spaces, is the last."""
    row = lab.cluster.kubectl("get", "evaljobs.assay.dev", name, "-n", ns, "--no-headers").stdout
    return " ".join(row.split())


def wait_until_working(lab, ns, name, samples=1, timeout=120):
    return wait_for(
        lambda: lab.evaljob(ns, name).get("status", {}).get("progress", {}).get("samplesDone", 0) >= samples,
        timeout,
        f"{samples} committed samples of {name}",
    )


def test_the_example_on_three_pods_over_two_nodes_gives_the_laptops_bytes(lab, s3, ns, storage, tmp_path):
    manifest = easy_vqa(storage, replicas=3)
    with ThreadPoolExecutor(1) as aside:
        here = aside.submit(on_a_laptop, manifest, tmp_path)
        story, nodes = lived(lab, ns, manifest)
    assert story == ["Planning", "Running", "Reducing", "Complete"]
    assert len(nodes) == 2
    status = lab.evaljob(ns, "easy-vqa")["status"]
    assert s3.read(status["resultsUri"]) == here.result()
    row = columns(lab, ns, "easy-vqa")
    assert "Complete tiny-vlm/model easy_vqa 9,673/9,673 exact_match 0.9994 ± 0.0005 0" in row
    told = [reason for kind, reason, _ in lab.events(ns, "easy-vqa")]
    assert told == ["Accepted", "Planned", "Running", "ChunksCommitted", "Complete"]
    described = lab.cluster.kubectl("describe", "evaljob", "easy-vqa", "-n", ns).stdout
    assert "9,673 samples in 61 chunks" in described and "exact_match" in described


def lived(lab, ns, manifest):
    """The phases that the job went through, and the nodes that its workers ran on."""
    lab.apply(manifest, ns)
    story, nodes = [], set()
    deadline = time.monotonic() + 300
    while not story or story[-1] not in ("Complete", "Failed"):
        assert time.monotonic() < deadline, story
        phase = lab.evaljob(ns, "easy-vqa").get("status", {}).get("phase", "")
        if phase and story[-1:] != [phase]:
            story.append(phase)
        nodes |= {pod["spec"].get("nodeName") for pod in lab.workers(ns)}
        time.sleep(0.3)
    return story, nodes


def test_scaling_suspending_killing_and_restarting_change_no_byte(lab, s3, ns, storage, stub, operator, tmp_path):
    endpoint = stub(latency=0.15)
    manifest = endpoint_job(endpoint.url, storage, "hard-life", limit=1500, replicas=3)
    lab.apply(manifest, ns)

    def change(**spec):
        patch = json.dumps({"spec": spec})
        lab.cluster.kubectl("patch", "evaljob", "hard-life", "-n", ns, "--type=merge", "-p", patch)

    wait_until_working(lab, ns, "hard-life")
    change(replicas=1)
    wait_for(lambda: len(lab.workers(ns)) == 1, 60, "one worker left")
    lab.cluster.kubectl("scale", "evaljob", "hard-life", "-n", ns, "--replicas=5")
    wait_for(lambda: len(lab.workers(ns)) == 5, 60, "five workers")
    change(suspend=True)
    lab.wait_for_condition(ns, "hard-life", "Suspended", 30)
    wait_for(lambda: not lab.workers(ns), 90, "no worker while suspended")
    before = lab.evaljob(ns, "hard-life")["status"]
    assert before["phase"] == "Suspended"
    change(suspend=False)
    wait_for(lambda: lab.workers(ns), 60, "workers after resuming")
    operator.kill()
    victim = lab.workers(ns)[0]["metadata"]["name"]
    lab.cluster.kubectl("delete", "pod", victim, "-n", ns, "--grace-period=0", "--force")
    operator.kill()
    endpoint.latency = 0.0
    there = results_of(lab, s3, ns, "hard-life")
    assert there == on_a_laptop(manifest, tmp_path)
    jobs = [name for name in lab.children(ns) if name.startswith("Job/")]
    assert sorted(name.rpartition("-")[2] for name in jobs) == ["plan", "reduce", "work"]
    status = lab.evaljob(ns, "hard-life")["status"]
    assert status["progress"]["samplesDone"] == 1500 and status["plan"] == before["plan"]


def test_a_chart_upgrade_touches_no_running_job(lab, s3, ns, storage, stub, operator):
    endpoint = stub(latency=1.0)
    lab.apply(endpoint_job(endpoint.url, storage, "upgraded", limit=1200, replicas=2), ns)
    wait_until_working(lab, ns, "upgraded")
    before = {pod["metadata"]["uid"] for pod in lab.workers(ns)}
    operator.install(replicas="2", podAnnotations__revision="second")
    assert {pod["metadata"]["uid"] for pod in lab.workers(ns)} <= before
    assert len(operator.pods()) >= 2
    assert lab.evaljob(ns, "upgraded")["status"]["phase"] == "Running"
    endpoint.latency = 0.0
    results_of(lab, s3, ns, "upgraded")
    assert {pod["metadata"]["uid"] for pod in lab.pods(ns, "work")} <= before
    operator.install()


def test_helm_finds_the_release_in_order(lab, operator):
    # Its log is gone with its pod, which helm takes for an error of `--logs` alone.
    assert "Phase:          Succeeded" in lab.cluster.helm("test", "assay", "-n", NAMESPACE).stdout


def test_of_two_operators_one_acts_and_the_other_takes_over(lab, s3, ns, storage, stub, operator):
    operator.install(replicas="2")

    first = operator.leader()
    endpoint = stub(latency=0.2)
    lab.apply(endpoint_job(endpoint.url, storage, "two", limit=1200, replicas=2), ns)
    lab.cluster.kubectl("delete", "pod", first, "-n", NAMESPACE)
    second = wait_for(lambda: (now := operator.leader()) not in (first, None, "") and now, 30, "another leader")
    assert second in operator.pods()
    endpoint.latency = 0.0
    results_of(lab, s3, ns, "two")
    assert len([name for name in lab.children(ns) if name.startswith("Job/")]) == 3
    operator.install()


def test_a_job_that_is_deleted_takes_its_children_and_leaves_its_records(lab, s3, ns, storage, stub):
    endpoint = stub(latency=0.2)
    lab.apply(endpoint_job(endpoint.url, storage, "gone", limit=1500, replicas=2), ns)
    wait_until_working(lab, ns, "gone")
    run = lab.evaljob(ns, "gone")["status"]["plan"]["runUri"]
    lab.cluster.kubectl("delete", "evaljob", "gone", "-n", ns)
    wait_for(lambda: not lab.children(ns), 90, "no child left")
    keys = s3.keys(run)
    assert "plan.json" in keys and any(key.endswith(".commit") for key in keys)


def test_a_job_that_reclaims_takes_its_records_too(lab, s3, ns, storage, stub):
    endpoint = stub(latency=0.2)
    lab.apply(endpoint_job(endpoint.url, storage, "tidy", limit=1500, replicas=2, reclaimPolicy="Delete"), ns)
    wait_until_working(lab, ns, "tidy")
    run = lab.evaljob(ns, "tidy")["status"]["plan"]["runUri"]
    assert s3.keys(run)
    lab.cluster.kubectl("delete", "evaljob", "tidy", "-n", ns, timeout=120)
    assert s3.keys(run) == []
    left = [name for name in lab.children(ns) if "-delete" not in name]
    assert not left


def test_a_namespace_goes_with_its_jobs_whatever_they_are_doing(lab, storage, ns, stub):
    endpoint = stub(latency=0.2)
    lab.apply(endpoint_job(endpoint.url, storage, "busy", limit=1500, replicas=2, reclaimPolicy="Delete"), ns)
    lab.apply(endpoint_job(endpoint.url, storage, "late", limit=1500, replicas=2, activeDeadlineSeconds=15), ns)
    lab.wait_for_condition(ns, "late", "Failed", 60)
    wait_until_working(lab, ns, "busy")
    lab.cluster.kubectl("delete", "namespace", ns, "--timeout=150s")


def test_a_finished_job_goes_after_its_time_to_live_and_its_results_stay(lab, s3, ns, storage, stub):
    endpoint = stub()
    lab.apply(endpoint_job(endpoint.url, storage, "short", limit=50, ttlSecondsAfterFinished=5), ns)
    there = results_of(lab, s3, ns, "short")
    uri = lab.evaljob(ns, "short")["status"]["resultsUri"]
    wait_for(lambda: not lab.cluster.names("evaljobs.assay.dev", ns=ns), 30, "the EvalJob is gone")
    wait_for(lambda: not lab.children(ns), 60, "its children are gone")
    assert s3.read(uri) == there


def test_replicas_that_find_no_node_hold_up_nothing_and_are_told_of(lab, s3, ns, storage, stub):
    if lab.cluster.script is None:
        pytest.skip("the nodes of kind have no GPUs")
    endpoint = stub(latency=0.4)
    node = lab.cluster.get("nodes")["items"][-1]["metadata"]["name"]
    # A node has 8: the blocker takes 2, so that three workers fit.
    template = {"nodeSelector": {"kubernetes.io/hostname": node}, "resources": {"limits": {"nvidia.com/gpu": 2}}}
    lab.apply(blocker(node), ns)
    lab.apply(endpoint_job(endpoint.url, storage, "crowded", limit=900, replicas=5, template=template), ns)
    note = wait_for(
        lambda: (row := columns(lab, ns, "crowded")) and "2 of 5 workers wait" in row and row,
        90,
        "the waiting are told",
    )
    assert "3/5" in note and "nvidia.com/gpu" in note
    endpoint.latency = 0.0
    results_of(lab, s3, ns, "crowded")


def blocker(node):
    """A pod that takes two of the node's GPUs."""
    container = {
        "name": "pause",
        "image": "localhost/pause:1",
        "resources": {"limits": {"nvidia.com/gpu": 2}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "blocker"}, "spec": spec}


def test_submitting_waits_for_the_outcome_and_shows_it(lab, ns, storage, stub, tmp_path):
    endpoint = stub()
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(endpoint_job(endpoint.url, storage, "sent", limit=50)))
    command = [sys.executable, "-m", "assay_runner"]
    done = subprocess.run(
        [*command, "submit", str(path), "--wait", "-n", ns],
        env=lab.cluster.env,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "exact_match" in done.stdout
    logs = subprocess.run(
        [*command, "logs", "sent", "-n", ns], env=lab.cluster.env, capture_output=True, text=True, timeout=60
    )
    assert "plan" in logs.stdout and "chunk easy_vqa/000000" in logs.stdout


def test_a_gate_waits_for_its_baseline_and_its_verdict_is_what_submitting_ends_with(lab, ns, storage, stub, tmp_path):
    endpoint = stub()
    score = {"task": "easy_vqa", "metric": "exact_match"}
    gates = [
        {"name": "drop", **score, "baseline": {"evalJob": "base"}, "smallestDifference": 0.1},
        {"name": "high", **score, "minimum": 0.99},
    ]
    path = tmp_path / "judged.yaml"
    path.write_text(json.dumps(endpoint_job(endpoint.url, storage, "judged", limit=50, gates=gates)))
    lab.apply(path, ns)
    wait_for(lambda: "no EvalJob base" in columns(lab, ns, "judged"), 30, "the note about the baseline")
    assert not lab.pods(ns)
    lab.apply(endpoint_job(endpoint.url, storage, "base", limit=50), ns)
    command = [sys.executable, "-m", "assay_runner", "submit", str(path), "--wait", "-n", ns]
    done = subprocess.run(command, env=lab.cluster.env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "gate drop: passed." in done.stdout and "gate high: failed." in done.stdout
    status = lab.evaljob(ns, "judged")["status"]
    assert status["phase"] == "Complete" and [gate["verdict"] for gate in status["gates"]] == ["passed", "failed"]
    assert lab.condition(ns, "judged", "GatesPassed")["reason"] == "GateFailed"
    assert ("Warning", "GateFailed") in [(kind, reason) for kind, reason, _ in lab.events(ns, "judged")]
