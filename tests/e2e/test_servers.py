"""A model server beside each worker: asked by nobody else, awaited, started again when it dies, and told of when it fails."""

import json
import subprocess
import sys

import pytest

from support.e2e import ROOT, easy_vqa, endpoint_job, on_a_laptop, results_of, runtime, wait_for
from support.endpoint import MODEL

pytestmark = [pytest.mark.usefixtures("operator")]

CODE = {name: (ROOT / "tests" / "support" / name).read_text() for name in ("answers.py", "small_server.py")}
TASKS = [{"name": "easy_vqa", "limit": 500}]


def code(ns, **files):
    """The server's program, in the namespace of the pods."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "server", "namespace": ns}, "data": files}


def server(operator, **changes):
    return {
        "image": operator.images.runner,
        "pullPolicy": "IfNotPresent",
        "command": ["python", "/srv/small_server.py"],
        "args": ["--model", "$(MODEL)", "--port", "$(PORT)"],
        "allowedArgs": ["--latency"],
        "port": 8123,
        "volumeMounts": [{"name": "server", "mountPath": "/srv"}],
        "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "256Mi"}},
        **changes,
    }


@pytest.fixture
def offered(lab, operator):
    fails = ["--model", "$(MODEL)", "--port", "$(PORT)", "--fail", "there is no model $(MODEL)"]
    servers = {
        "small": server(operator),
        "broken": server(operator, args=fails),
        "silent": server(operator, readiness={"path": "/nowhere", "timeoutSeconds": 4}),
    }
    template = {"volumes": [{"name": "server", "configMap": {"name": "server"}}]}
    lab.apply(runtime(operator, "served", podTemplate=template, servers=servers))


def job(storage, name, picked, **spec):
    """A job with a server of the runtime beside each worker."""
    model = {
        "backend": "openai",
        "name": MODEL,
        "server": {"name": picked, "maxConcurrency": 4, **spec.pop("server", {})},
    }
    return easy_vqa(storage, name, model=model, tasks=TASKS, chunkSize=25, runtimeRef={"name": "served"}, **spec)


def servers_of(lab, ns):
    """What the kubelet says of the servers; of a pod that is not on a node yet, nothing."""
    return [server for pod in lab.pods(ns, "work") for server in pod["status"].get("initContainerStatuses", [])]


@pytest.mark.usefixtures("offered")
def test_servers_beside_two_workers_give_an_endpoints_results_and_the_same_bytes_when_they_die(
    lab, s3, ns, storage, stub, tmp_path
):
    with lab.cluster.namespace() as other:
        s3.secret(other)
        lab.apply(code(ns, **CODE))
        lab.apply(code(other, **CODE, die="40"))
        wanted = {"replicas": 2, "server": {"args": ["--latency", "0.05"]}}
        lab.apply(job(storage, "beside", "small", **wanted), ns)
        lab.apply(job(s3.storage(s3.new_bucket()), "beside", "small", **wanted), other)
        wait_for(lambda: any(one["restartCount"] for one in servers_of(lab, other)), 90, "a server that died")
        calm, hit = results_of(lab, s3, ns, "beside"), results_of(lab, s3, other, "beside")
        assert hit == calm
        assert not any(one["restartCount"] for one in servers_of(lab, ns))
        pods = lab.pods(ns, "work")
        assert [asked(pod["spec"]["containers"][0]) for pod in pods] == [None] * len(pods)
        assert [asked(pod["spec"]["initContainers"][0]) for pod in pods] == ["1"] * len(pods)
    here = endpoint_job(stub().url, storage, "here", limit=TASKS[0]["limit"])
    laptop = json.loads(on_a_laptop(here, tmp_path))
    assert json.loads(calm)["tasks"][0]["metrics"] == laptop["tasks"][0]["metrics"]


def asked(container):
    return container["resources"].get("limits", {}).get("nvidia.com/gpu")


def logs_of_servers(lab, ns, name):
    """What those that run now have said, or those that wait to be started again."""
    command = [sys.executable, "-m", "assay_runner", "logs", name, "--namespace", ns, "--servers"]
    return subprocess.run(command, env=lab.cluster.env, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.usefixtures("offered")
def test_a_server_that_ends_or_is_never_ready_is_told_of_in_a_sentence(lab, ns, storage):
    lab.apply(code(ns, **CODE))
    lab.apply(job(storage, "broken", "broken", replicas=1), ns)
    lab.apply(job(storage, "silent", "silent", replicas=1), ns)
    ended = lab.wait_for_condition(ns, "broken", "Running", 60, status="False", reason="ServerFailed")
    assert ended["message"].startswith("the server beside worker 0 ended with exit code 3")
    assert ended["message"].endswith(f": there is no model {MODEL}.")
    said = wait_for(lambda: logs_of_servers(lab, ns, "broken"), 60, "a server that has said something")
    assert said.startswith("server-0-") and said.endswith(f"| there is no model {MODEL}\n")
    late = lab.wait_for_condition(ns, "silent", "Running", 60, status="False", reason="BackendFailed")
    assert (
        "The server beside this worker was not ready in" in late["message"] and "/nowhere: HTTP 404" in late["message"]
    )
