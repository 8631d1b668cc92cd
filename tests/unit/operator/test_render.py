"""The Jobs that are made: restricted, without a token, owned, and with nothing in them that a user could have widened."""

import json

import pytest

from assay_api.evaljob import EvalJob
from assay_operator.names import JOB_UID, Step, child_name
from assay_operator.render import render
from support.control_plane import UID, evaljob, runtime

OFFER = {
    "images": {"default": "runner:1", "transformers": "runner-gpu:1", "pullPolicy": "IfNotPresent"},
    "podTemplate": {
        "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "32Gi"}},
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "env": [{"name": "HF_ENDPOINT", "value": "http://mirror"}],
        "serviceAccountName": "evals",
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "batch",
        "runtimeClassName": "nvidia",
    },
    "cache": {"volumeName": "cache", "mountPath": "/cache"},
    "allowed": {"taskCode": True},
}
JOB = {
    "storage": {
        "uri": "s3://evals/runs/",
        "endpointUrl": "http://s3:9000",
        "region": "eu-1",
        "credentialsSecretRef": {"name": "s3"},
    },
    "taskSources": [{"uri": "s3://evals/tasks"}, {"configMapRef": {"name": "my-tasks"}}],
    "template": {
        "resources": {"limits": {"memory": "64Gi"}},
        "env": [{"name": "HF_TOKEN", "secretKeyRef": {"name": "hub", "key": "token"}}],
        "labels": {"team": "a"},
        "nodeSelector": {"zone": "b"},
    },
    "queueName": "gpus",
}


def rendered(step, job=None, offer=None):
    return render(step, evaljob(**(JOB if job is None else job)), runtime(**(OFFER if offer is None else offer)), {})


def pod(manifest):
    return manifest["spec"]["template"]["spec"]


def runner(manifest):
    (container,) = pod(manifest)["containers"]
    return container


def environment(manifest):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in runner(manifest)["env"]}


@pytest.mark.parametrize("step", list(Step))
def test_every_pod_is_restricted_and_has_no_token(step):
    spec = pod(rendered(step))
    assert spec["automountServiceAccountToken"] is False and spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]
    contained = spec["containers"][0]["securityContext"]
    assert contained == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@pytest.mark.parametrize("step", list(Step))
def test_rendering_is_deterministic_and_every_child_is_known_by_its_uid(step):
    manifest = rendered(step)
    assert json.dumps(manifest) == json.dumps(rendered(step))
    assert manifest["metadata"]["name"] == child_name("job", UID, step)
    assert manifest["metadata"]["labels"][JOB_UID] == UID
    assert manifest["spec"]["template"]["metadata"]["labels"][JOB_UID] == UID


def test_all_children_but_the_removal_go_with_their_job():
    for step in (Step.PLAN, Step.WORK, Step.REDUCE):
        (owner,) = rendered(step)["metadata"]["ownerReferences"]
        assert owner["uid"] == UID and owner["controller"]
    removal = rendered(Step.DELETE)
    assert "ownerReferences" not in removal["metadata"] and removal["spec"]["ttlSecondsAfterFinished"]


def test_a_child_of_a_job_with_the_longest_name_still_has_a_valid_name():
    name = child_name("x" * 40 + "." + "y" * 200, UID, Step.REDUCE)
    assert len(name) + len("-1000-abcde") <= 63 and ".." not in name and "--" not in name


def test_the_work_job_ends_with_its_first_success_and_counts_failures_per_worker():
    spec = rendered(Step.WORK)["spec"]
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] == 3
    assert spec["successPolicy"] == {"rules": [{"succeededCount": 1}]}
    assert spec["podReplacementPolicy"] == "Failed" and spec["backoffLimitPerIndex"] == 6
    rules = {
        (rule["action"], *(rule.get("onExitCodes", {}).get("values") or ["disruption"]))
        for rule in spec["podFailurePolicy"]["rules"]
    }
    assert rules == {("FailJob", 64), ("Ignore", 75), ("Ignore", "disruption")}


@pytest.mark.parametrize("step", [Step.PLAN, Step.REDUCE, Step.DELETE])
def test_a_single_pod_whose_node_died_is_replaced_without_waiting_for_the_node(step):
    manifest = rendered(step)
    assert manifest["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    # Kubernetes allows that only without a failure policy.
    assert "podFailurePolicy" not in manifest["spec"]
    patience = {item["key"]: item.get("tolerationSeconds") for item in pod(manifest)["tolerations"]}
    assert patience["node.kubernetes.io/unreachable"] == patience["node.kubernetes.io/not-ready"] == 30


def test_each_step_runs_its_command_on_its_image():
    run = f"s3://evals/runs/research/job/{UID}"
    assert runner(rendered(Step.PLAN))["args"][:2] == ["plan", "/etc/assay/job.json"]
    assert runner(rendered(Step.WORK))["args"][:2] == ["work", run]
    assert runner(rendered(Step.REDUCE))["args"] == [
        "reduce", run, "--max-error-rate", "0.0", "--report", "/dev/termination-log",
    ]  # fmt: skip
    assert runner(rendered(Step.DELETE))["args"][:2] == ["delete", run]
    images = {step: runner(rendered(step))["image"] for step in Step}
    assert images == {
        Step.PLAN: "runner-gpu:1", Step.WORK: "runner-gpu:1", Step.REDUCE: "runner:1", Step.DELETE: "runner:1",
    }  # fmt: skip


def test_credentials_come_by_reference_and_never_by_value():
    found = environment(rendered(Step.WORK))
    assert found["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "s3", "key": "AWS_ACCESS_KEY_ID"}}
    assert found["AWS_SESSION_TOKEN"]["secretKeyRef"]["optional"] is True
    assert found["AWS_ENDPOINT_URL_S3"] == "http://s3:9000" and found["AWS_REGION"] == "eu-1"
    assert found["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}


def test_an_endpoints_key_reaches_planner_and_workers_only():
    model = {
        "backend": "openai",
        "name": "m",
        "endpoint": {"url": "http://e/v1", "apiKeySecretRef": {"name": "key", "key": "k"}},
    }
    with_key = {step for step in Step if "OPENAI_API_KEY" in environment(rendered(step, JOB | {"model": model}))}
    assert with_key == {Step.PLAN, Step.WORK}


def test_gpus_are_asked_for_by_workers_alone_and_the_users_settings_win_over_the_runtimes():
    work, plan = runner(rendered(Step.WORK)), runner(rendered(Step.PLAN))
    assert work["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": "64Gi"}
    assert "nvidia.com/gpu" not in plan["resources"]["limits"]
    assert pod(rendered(Step.WORK))["nodeSelector"] == {"pool": "gpu", "zone": "b"}


def test_what_could_widen_permissions_comes_from_the_runtime_alone():
    spec = pod(rendered(Step.WORK))
    assert (spec["serviceAccountName"], spec["runtimeClassName"], spec["priorityClassName"]) == (
        "evals", "nvidia", "batch",
    )  # fmt: skip
    plain = pod(rendered(Step.WORK, offer={}))
    assert not {"serviceAccountName", "runtimeClassName", "priorityClassName"} & plain.keys()
    assert [volume["name"] for volume in plain["volumes"]] == ["scratch"]


def test_the_planner_reads_the_job_with_the_storage_it_will_use():
    offer = OFFER | {"storage": {"uri": "s3://shared/runs"}}
    manifest = rendered(
        Step.PLAN, {key: value for key, value in JOB.items() if key != "storage"} | {"storage": None}, offer
    )
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    job = EvalJob.model_validate(json.loads(annotations["assay.dev/manifest"]))
    assert job.metadata.uid == UID and job.spec.storage.uri == "s3://shared/runs"


def test_task_files_from_config_maps_are_mounted_for_the_planner_alone():
    mounts = {mount["mountPath"] for mount in runner(rendered(Step.PLAN))["volumeMounts"]}
    assert "/etc/assay-tasks/1" in mounts and "/etc/assay-tasks/0" not in mounts
    assert not any("tasks" in mount["mountPath"] for mount in runner(rendered(Step.WORK))["volumeMounts"])


def test_the_cache_is_named_to_those_who_need_the_model():
    assert [step for step in Step if "--cache" in runner(rendered(step))["args"]] == [Step.PLAN, Step.WORK]


def test_a_queued_job_carries_the_queues_name_and_leaves_suspension_to_the_queue():
    manifest = rendered(Step.WORK)
    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "suspend" not in manifest["spec"]
    assert "kueue.x-k8s.io/queue-name" not in rendered(Step.PLAN)["metadata"]["labels"]


def test_an_address_with_a_dollar_sign_reaches_the_worker_as_it_is():
    job = JOB | {"storage": {"uri": "s3://evals/$(HOME)"}}
    assert runner(rendered(Step.WORK, job))["args"][1].startswith("s3://evals/$$(HOME)")
