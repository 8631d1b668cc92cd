"""`kubectl apply` of a wrong manifest is answered by the API server itself, at once, with a sentence that names the field.

The same manifests are refused on a laptop: tests/unit/api/test_wrong_manifests.py.
"""

import json

import pytest

from assay_api import evalschedule
from support.manifests import (
    ENDPOINT,
    JOB,
    NOT_THE_USERS,
    PRIVILEGES,
    RUNTIME,
    SCHEDULE,
    WATCH,
    WRONG,
    changed,
)

PLAN = {"digest": "d", "specDigest": "s", "runUri": "s3://b/r", "samples": 9, "chunks": 3}
FIXED = {
    "runtimeRef": ({"name": "other"}, "the runtime"),
    "model": ({"name": "another"}, "the model"),
    "tasks": ([{"name": "gsm8k"}], "the tasks"),
    "taskSources": ([{"uri": "s3://tasks"}], "the sources of tasks"),
    "chunkSize": (7, "the size of chunks"),
    "storage": ({"uri": "s3://elsewhere"}, "the storage"),
    "seed": (1, "the seed"),
    "gates": ([{"name": "g", "task": "easy_vqa", "metric": "exact_match", "minimum": 0.5}], "the gates"),
}
FREE = {
    "replicas": 7,
    "suspend": True,
    "errorPolicy": {"maxErrorRate": 0.5},
    "activeDeadlineSeconds": 60,
    "ttlSecondsAfterFinished": 60,
    "reclaimPolicy": "Delete",
    "queueName": "gpus",
    "template": {"labels": {"team": "a"}},
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_wrong_manifest_is_refused_with_its_sentence(answer, wrong):
    done = answer(wrong.manifest)
    assert done.returncode != 0
    for word in wrong.words:
        assert word in done.stderr


@pytest.mark.parametrize("wrong", NOT_THE_USERS, ids=lambda wrong: wrong.what)
def test_a_field_that_would_be_a_privilege_does_not_exist(answer, wrong):
    assert f'unknown field "{wrong.words[0]}"' in answer(wrong.manifest).stderr


def test_without_validation_no_privilege_is_kept_either(stored):
    greedy = changed(JOB, **PRIVILEGES)
    greedy["metadata"] = {"name": "greedy"}
    plain = changed(JOB, storage={"uri": "s3://b"}, template={})
    plain["metadata"] = {"name": "plain"}
    assert stored(greedy, "--validate=false")["spec"] == stored(plain)["spec"]


@pytest.fixture
def planned(stored, kubectl):
    """Patch the spec of a job that is planned, or (`name="fresh"`) of one that is not yet."""
    for name in ("planned", "fresh"):
        stored({**changed(JOB, model__args={"batch_size": 32}), "metadata": {"name": name}})
    status = json.dumps({"status": {"plan": PLAN}})
    kubectl("patch", "ej", "planned", "--subresource=status", "--type=merge", "-p", status)

    def patch(spec, name="planned"):
        text = json.dumps({"spec": spec})
        return kubectl("patch", "ej", name, "--type=merge", "--dry-run=server", "-p", text, check=False)

    return patch


@pytest.mark.parametrize("field", FIXED)
def test_what_defines_the_numbers_is_fixed_once_planned(planned, field):
    value, what = FIXED[field]
    done = planned({field: value})
    assert done.returncode != 0
    assert f"spec.{field}: Invalid value" in done.stderr
    assert (
        f"{what} cannot change once the job is planned; apply the change as an EvalJob with another name" in done.stderr
    )
    assert planned({field: value}, name="fresh").returncode == 0


def test_an_argument_of_the_model_is_fixed_too(planned):
    assert "the model cannot change" in planned({"model": {"args": {"batch_size": 1}}}).stderr
    assert "the model cannot change" in planned({"model": {"args": {"more": 1}}}).stderr
    assert "the model cannot change" in planned({"model": {"args": {"batch_size": None}}}).stderr


def test_a_server_beside_the_workers_is_fixed_too(planned):
    served = {"backend": "openai", "args": None, "server": {"name": "vllm"}}
    assert "the model cannot change" in planned({"model": served}).stderr
    assert planned({"model": served}, name="fresh").returncode == 0


def test_how_it_is_run_may_change_at_any_time(planned):
    for field, value in FREE.items():
        done = planned({field: value})
        assert done.returncode == 0, done.stderr


GOOD = {
    "as little as possible": JOB,
    "an endpoint": changed(JOB, model={"backend": "openai", "name": "m", "endpoint": ENDPOINT}),
    "a server beside each worker": changed(
        JOB, model={"backend": "openai", "name": "m", "server": {"name": "vllm", "args": ["--max-model-len", "8192"]}}
    ),
    "tasks of one's own": changed(JOB, taskSources=[{"configMapRef": {"name": "t"}}, {"uri": "file:///tasks"}]),
    "gates of every kind": changed(
        JOB,
        gates=[
            {"name": "least", "task": "easy_vqa", "metric": "exact_match", "filter": "strict", "minimum": 0},
            {"name": "most", "task": "speech", "metric": "wer", "maximum": 0.25},
            *(
                {"name": name, "task": "mmlu", "metric": "acc", "baseline": baseline, "smallestDifference": 0.01}
                for name, baseline in (("job", {"evalJob": "base"}), ("run", {"run": "s3://evals/runs/a/b/c"}))
            ),
        ],
    ),
    "as Kubernetes writes amounts": changed(
        JOB,
        template__resources={
            "limits": {"nvidia.com/gpu": 1, "cpu": "1.5", "memory": "32Gi"},
            "requests": {"cpu": "500m"},
        },
    ),
    "a team's own labels and variables": changed(
        JOB, template={"labels": {"example.com/team": "a.b"}, "env": [{"name": "HF_TOKEN", "value": ""}]}
    ),
    "any taint": changed(JOB, template__tolerations=[{"operator": "Exists"}]),
    "a runtime": RUNTIME,
    "a runtime with everything": changed(
        RUNTIME,
        podTemplate={
            "volumes": [{"name": "weights", "hostPath": {"path": "/weights"}}, {"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            "env": [{"name": "AWS_CA_BUNDLE", "value": "/data/ca.pem"}],
            "affinity": {"nodeAffinity": {}},
            "securityContext": {"runAsUser": 1000},
            "serviceAccountName": "evals",
            "imagePullSecrets": [{"name": "registry"}],
        },
        cache={"volumeName": "weights"},
        servers={
            "vllm": {
                "image": "vllm/vllm-openai:v0.33.0",
                "command": ["vllm", "serve", "$(MODEL)"],
                "args": ["--port", "$(PORT)"],
                "allowedArgs": ["--max-model-len"],
                "readiness": {"path": "/health", "timeoutSeconds": 3600},
                "env": [{"name": "HF_TOKEN", "secretKeyRef": {"name": "hub", "key": "token"}}],
                "resources": {"limits": {"nvidia.com/gpu": 1}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "sharedMemory": "8Gi",
                "securityContext": {"runAsUser": 2000},
            }
        },
        namespaces=["research", "*"],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_manifest_is_kept_as_it_was_written(answer, name):
    done = answer(GOOD[name])
    assert done.returncode == 0, done.stderr
    assert_within(GOOD[name]["spec"], json.loads(done.stdout)["spec"])


def assert_within(written, kept):
    if isinstance(written, dict):
        for key, value in written.items():
            assert_within(value, kept[key])
    elif isinstance(written, list):
        assert len(written) == len(kept)
        for one, other in zip(written, kept, strict=True):
            assert_within(one, other)
    else:
        assert written == kept


def test_what_a_schedule_watches_stays_what_it_was(stored, kubectl):
    stored({**changed(SCHEDULE, cron=None, watch=WATCH), "metadata": {"name": "watching"}})

    def patch(spec):
        text = json.dumps({"spec": spec})
        return kubectl("patch", "es", "watching", "--type=merge", "--dry-run=server", "-p", text, check=False)

    assert evalschedule.WATCHED_STAYS.sentence in patch({"watch": {"uri": "s3://train/run-8"}}).stderr
    cron = {"cron": {"schedule": "@daily"}, "watch": None}
    assert evalschedule.TRIGGER_STAYS.sentence in patch(cron).stderr
    assert patch({"watch": {"pattern": "epoch-*"}, "suspend": True}).returncode == 0
