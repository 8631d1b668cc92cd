"""What a user brings along: task files, a model in object storage, a place in a queue."""

import json
import time
from datetime import datetime

import pytest

from support.e2e import ROOT, easy_vqa, endpoint_job, on_a_laptop, results_of, runtime, wait_for

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(420, func_only=True)]


def test_the_users_own_tasks_come_from_a_config_map_where_the_runtime_allows_it(lab, s3, ns, storage, stub, operator):
    endpoint = stub()
    meta = {"name": "my-tasks", "namespace": ns}
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": OWN_TASK})
    job = endpoint_job(endpoint.url, storage, "own", taskSources=[{"configMapRef": {"name": "my-tasks"}}])
    job["spec"]["tasks"] = [{"name": "mine"}]
    lab.apply(job, ns)
    refused = lab.wait_for_condition(ns, "own", "Accepted", 10, status="False")
    assert refused["reason"] == "TaskCodeNotAllowed" and "spec.taskSources" in refused["message"]
    lab.apply(runtime(operator, "open", allowed={"taskCode": True}))
    lab.cluster.kubectl(
        "patch", "evaljob", "own", "-n", ns, "--type=merge", "-p", '{"spec":{"runtimeRef":{"name":"open"}}}'
    )
    results = json.loads(results_of(lab, s3, ns, "own"))
    assert results["tasks"][0]["task"] == "mine" and results["tasks"][0]["metrics"][0]["metric"] == "length"


def test_the_users_own_tasks_come_from_object_storage(lab, s3, ns, storage, stub, operator):
    bucket = s3.new_bucket()
    for name, text in OWN_TASK.items():
        s3.server.client().put_object(Bucket=bucket, Key=f"tasks/{name}", Body=text.encode())
    lab.apply(runtime(operator, "open", allowed={"taskCode": True}))
    sources = [{"uri": f"s3://{bucket}/tasks/"}]
    job = endpoint_job(stub().url, storage, "stored", taskSources=sources, runtimeRef={"name": "open"})
    job["spec"]["tasks"] = [{"name": "mine"}]
    lab.apply(job, ns)
    assert json.loads(results_of(lab, s3, ns, "stored"))["coverage"]["samples"] == 40


def test_a_model_in_object_storage_is_brought_to_the_runtimes_cache_once_for_all_pods(
    lab, s3, ns, storage, operator, tmp_path_factory
):
    if lab.cluster.script is None:
        pytest.skip("the nodes of kind share no folder")
    bucket, shared = s3.new_bucket(), tmp_path_factory.mktemp("cache")
    shared.chmod(0o777)
    for folder in (shared, *shared.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    for file in (ROOT / "examples" / "tiny-vlm" / "model").iterdir():
        s3.server.client().upload_file(str(file), bucket, f"tiny/{file.name}")
    for kind, meta, spec in cache_volume(ns, shared):
        lab.apply({"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec})
    template = {
        "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
    cache = {"volumeName": "cache", "mountPath": "/cache"}
    lab.apply(runtime(operator, "cached", podTemplate=template, cache=cache))
    model = {"backend": "transformers", "name": f"s3://{bucket}/tiny", "args": {"batch_size": 32}}
    tasks = [{"name": "easy_vqa", "limit": 600}]
    manifest = easy_vqa(storage, "cached", model=model, tasks=tasks, replicas=3, runtimeRef={"name": "cached"})
    lab.apply(manifest, ns)
    there = json.loads(results_of(lab, s3, ns, "cached"))
    (fetched,) = (path for path in (shared / "models").iterdir() if path.is_dir())
    brought = max(path.stat().st_mtime for path in fetched.iterdir())
    pods = [pod for pod in lab.pods(ns, "work") if pod["status"].get("startTime")]
    started = min(datetime.fromisoformat(pod["status"]["startTime"]).timestamp() for pod in pods)
    assert brought < started + 1, "the planner had brought it before any worker ran"
    here = json.loads(
        on_a_laptop(manifest | {"spec": manifest["spec"] | {"model": LOCAL_MODEL}}, shared.parent / "here")
    )
    assert [task["metrics"] for task in there["tasks"]] == [task["metrics"] for task in here["tasks"]]
    lab.cluster.kubectl("delete", "persistentvolume", f"cache-{ns}", "--wait=false")


LOCAL_MODEL = {"backend": "transformers", "name": "tiny-vlm/model", "args": {"batch_size": 32}}


def cache_volume(ns, folder):
    """One folder of this machine, on which both nodes run, as a volume and a claim on it."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    name = f"cache-{ns}"
    path = {
        "hostPath": {"path": str(folder)},
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    yield "PersistentVolume", {"name": name}, common | path
    request = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name}
    yield "PersistentVolumeClaim", {"name": "cache", "namespace": ns}, common | request


OWN_TASK = {
    "mine.yaml": """
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: data.jsonl}}
test_split: test
output_type: generate_until
doc_to_messages: [{role: user, content: [{type: text, text: "{{ question }}"}]}]
doc_to_target: answer
process_results: !function utils.score
metric_list: [{metric: length, aggregation: mean, higher_is_better: true}]
""",
    "data.jsonl": "".join(json.dumps({"question": f"q{n}", "answer": "a"}) + "\n" for n in range(40)),
    "utils.py": "def score(doc, results):\n    return {'length': float(len(results[0]))}\n",
}


def test_a_job_in_a_queue_waits_for_kueue_and_tells_what_kueue_says(lab, s3, ns, storage, stub):
    """Kueue itself is not at hand: this test plays its part, with its label, its Workload and the Job's suspension."""
    endpoint = stub()
    lab.apply(WORKLOADS)
    lab.cluster.await_definitions("crd", "workloads.kueue.x-k8s.io")
    manifest = endpoint_job(endpoint.url, storage, "queued", limit=50, queueName="gpus", suspend=True)
    lab.apply(manifest, ns)
    lab.cluster.kubectl("patch", "evaljob", "queued", "-n", ns, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    work = wait_for(
        lambda: [job for job in jobs(lab, ns) if job["metadata"]["labels"]["assay.dev/step"] == "work"], 60, ""
    )[0]
    assert work["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    job = f"job/{work['metadata']['name']}"

    def set_suspend(value):
        lab.cluster.kubectl("patch", job, "-n", ns, "--type=merge", "-p", json.dumps({"spec": {"suspend": value}}))

    set_suspend(True)
    lab.apply(workload(ns, work))
    set_workload_status(lab, ns, "False", "Pending", "couldn't assign flavors to pod set main: insufficient quota")
    wait_for(
        lambda: "insufficient quota" in lab.condition(ns, "queued", "QuotaReserved").get("message", ""),
        30,
        "Kueue's word",
    )
    assert lab.evaljob(ns, "queued")["status"]["phase"] == "Queued"
    time.sleep(6)
    assert lab.cluster.get(job, ns=ns)["spec"]["suspend"] is True, "the queue decides, not the operator"
    for held in (True, False):
        patch = json.dumps({"spec": {"suspend": held}})
        lab.cluster.kubectl("patch", "evaljob", "queued", "-n", ns, "--type=merge", "-p", patch)
        wait_for(
            lambda held=held: lab.cluster.get("workload", "job-queued", ns=ns)["spec"]["active"] is not held,
            30,
            "a job that its user holds is held through its Workload",
        )
    set_workload_status(lab, ns, "True", "QuotaReserved", "Quota reserved in ClusterQueue gpus")
    set_suspend(False)
    results_of(lab, s3, ns, "queued")
    lab.cluster.kubectl("delete", "crd", "workloads.kueue.x-k8s.io", "--wait=false")


def jobs(lab, ns):
    return lab.cluster.get("jobs", ns=ns, selector="app.kubernetes.io/managed-by=assay")["items"]


def workload(ns, job):
    labels = {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}
    meta = {"name": "job-queued", "namespace": ns, "labels": labels}
    return {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload", "metadata": meta, "spec": {"active": True}}


def set_workload_status(lab, ns, status, reason, message):
    condition = {
        "type": "QuotaReserved",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {"conditions": [condition]}})
    lab.cluster.kubectl(
        "patch", "workload", "job-queued", "-n", ns, "--subresource=status", "--type=merge", "-p", patch
    )


WORKLOADS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "workloads.kueue.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for a test"},
    },
    "spec": {
        "group": "kueue.x-k8s.io",
        "names": {"kind": "Workload", "plural": "workloads", "singular": "workload", "listKind": "WorkloadList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
