"""The server beside a worker is as confined as the worker, gets the devices, and takes from a job no more than its words."""

import json

import pytest

from assay_api.sidecar import VARIABLE, Sidecar
from assay_operator.names import Step
from assay_operator.render import render
from support.control_plane import evaljob, runtime

SERVER = {
    "image": "vllm/vllm-openai:v0.33.0",
    "args": ["--model", "$(MODEL)", "--revision", "$(REVISION)", "--port", "$(PORT)"],
    "allowedArgs": ["*"],
    "port": 8123,
    "env": [{"name": "HF_TOKEN", "secretKeyRef": {"name": "hub", "key": "token"}}],
    "resources": {"requests": {"memory": "48Gi"}, "limits": {"memory": "64Gi"}},
    "volumeMounts": [{"name": "templates", "mountPath": "/templates", "readOnly": True}],
    "sharedMemory": "8Gi",
}
OFFER = {
    "podTemplate": {
        "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}},
        "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "templates", "emptyDir": {}}, {"name": "data"}],
        "volumeMounts": [
            {"name": "cache", "mountPath": "/cache", "subPath": "hub"},
            {"name": "data", "mountPath": "/d"},
        ],
        "env": [{"name": "HF_ENDPOINT", "value": "http://mirror"}],
    },
    "cache": {"volumeName": "cache"},
}
MODEL = {"backend": "openai", "name": "org/m", "server": {"name": "vllm", "args": ["--max-model-len", "8192"]}}
STORAGE = {"uri": "s3://evals/runs", "credentialsSecretRef": {"name": "s3"}}


def pod(step=Step.WORK, *, model=None, server=None, offer=None, **spec):
    job = evaljob(model=MODEL | (model or {}), storage=STORAGE, **spec)
    offered = runtime(**OFFER | (offer or {}), servers={"vllm": SERVER | (server or {})})
    return render(step, job, offered, {})["spec"]["template"]["spec"]


def beside(**changes):
    (container,) = pod(**changes)["initContainers"]
    return container


def environment(container):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_it_is_a_native_sidecar_of_work_pods_alone():
    assert beside()["restartPolicy"] == "Always" and beside()["name"] == "server"
    assert not any("initContainers" in pod(step) for step in Step if step is not Step.WORK)


def test_it_is_confined_and_not_root_whatever_its_image_says():
    assert beside()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 65532,
    }


def test_the_runtimes_word_on_users_and_confinement_counts():
    template = OFFER["podTemplate"] | {"securityContext": {"runAsUser": 1000}}
    assert "runAsUser" not in beside(offer={"podTemplate": template})["securityContext"]
    assert beside(server={"securityContext": {"runAsUser": 0}})["securityContext"] == {"runAsUser": 0}


def test_model_revision_and_port_reach_it_by_variables_that_its_arguments_name():
    container = beside(model={"revision": "v2"})
    found = environment(container)
    assert (found["MODEL"], found["REVISION"], found["PORT"]) == ("org/m", "v2", "8123")
    assert container["args"] == [*SERVER["args"], "--max-model-len", "8192"]
    assert environment(beside())["REVISION"] == "main"


@pytest.mark.parametrize("text", ["$(HF_TOKEN)", "$$(HF_TOKEN)", "$$$(HF_TOKEN)", "a$"])
def test_a_jobs_words_cannot_spell_out_a_secret_of_the_runtime(text):
    container = beside(model={"name": text, "server": {"name": "vllm", "args": ["--x", text]}})
    assert expanded(container["args"][-1]) == expanded(environment(container)["MODEL"]) == text


def expanded(text):
    """As Kubernetes does it: two dollar signs are one, and a reference is replaced."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and text[at + 1 : at + 2] == "$":
            out, at = out + "$", at + 2
        elif text[at] == "$" and text[at + 1 : at + 2] == "(":
            return out + "EXPANDED"
        else:
            out, at = out + text[at], at + 1
    return out


def test_devices_go_to_the_server_and_the_rest_of_the_pod_template_and_the_job_to_the_worker():
    own = {"limits": {"nvidia.com/gpu": 4, "memory": "24Gi"}, "requests": {"cpu": "8"}}
    spec = pod(template={"resources": own})
    worker, server = spec["containers"][0]["resources"], spec["initContainers"][0]["resources"]
    assert worker == {"requests": {"cpu": "8"}, "limits": {"memory": "24Gi"}}
    assert server == {"requests": {"memory": "48Gi"}, "limits": {"nvidia.com/gpu": 4, "memory": "64Gi"}}
    assert beside()["resources"]["limits"]["nvidia.com/gpu"] == 1
    more = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    assert beside(server=more)["resources"]["limits"] == {"nvidia.com/gpu": 2}


def test_a_worker_that_nobody_gives_anything_still_has_bounds():
    spec = pod(offer={"podTemplate": {"volumes": [{"name": "cache"}, {"name": "templates"}]}})
    assert spec["containers"][0]["resources"]["limits"]["memory"]


def test_it_writes_to_volumes_of_its_own_and_sees_the_cache_but_nothing_else_of_the_workers():
    spec = pod()
    mounts = {mount["mountPath"]: mount for mount in spec["initContainers"][0]["volumeMounts"]}
    assert set(mounts) == {"/tmp", "/dev/shm", "/cache", "/templates"} and mounts["/cache"]["subPath"] == "hub"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    mine = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/tmp"]["name"] != mine["/tmp"]
    assert environment(spec["initContainers"][0])["HF_HOME"] == "/cache/huggingface"


def test_it_gets_the_runtimes_variables_and_neither_the_stores_keys_nor_the_jobs():
    found = environment(beside(template={"env": [{"name": "VLLM_PLUGINS", "value": "x"}]}))
    assert found["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert found["HF_ENDPOINT"] == "http://mirror" and found["HOME"] == "/tmp"
    assert not [name for name in found if name.startswith(("AWS_", "VLLM_"))]


@pytest.mark.parametrize("step", list(Step))
def test_planner_and_workers_are_told_of_it(step):
    found = {item["name"]: item.get("value") for item in pod(step)["containers"][0]["env"]}
    assert (VARIABLE in found) == (step in (Step.PLAN, Step.WORK))
    if VARIABLE in found:
        told = Sidecar.read({VARIABLE: expanded(found[VARIABLE])})
        assert told.args == (*SERVER["args"], "--max-model-len", "8192") and told.port == 8123
        assert json.dumps(pod(step)) == json.dumps(pod(step))
