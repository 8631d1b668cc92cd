"""A manifest that is wrong is refused with one sentence that names the field and the way out."""

from pathlib import Path

import pytest
import yaml

from assay_api.errors import SpecError
from assay_api.evaljob import EvalJob
from assay_api.runtime import ClusterEvalRuntime
from assay_runner.manifest import parse_job, read_manifest

JOB = """
apiVersion: assay.dev/v1alpha1
kind: EvalJob
metadata: {name: qwen-vl-mmmu, namespace: research}
spec:
  runtimeRef: {name: default}
  model:
    backend: openai
    name: qwen
    args: {api: chat}
    endpoint: {url: "http://server/v1", apiKeySecretRef: {name: k, key: v}, maxConcurrency: 64, timeoutSeconds: 600}
  tasks:
    - {name: mmmu_val, limit: 200, numFewshot: 0, repeats: 1, generation: {max_new_tokens: 512, temperature: 0}}
  taskSources: [{configMapRef: {name: my-tasks}}, {uri: "s3://evals/tasks/"}]
  replicas: 4
  chunkSize: 64
  storage: {uri: "s3://evals/runs", endpointUrl: "http://s3:9000", region: eu-1, credentialsSecretRef: {name: s3}}
  seed: 0
  errorPolicy: {maxErrorRate: 0.0, retries: 3}
  suspend: false
  activeDeadlineSeconds: 86400
  ttlSecondsAfterFinished: 604800
  queueName: gpu-queue
  template:
    resources: {limits: {nvidia.com/gpu: 1, memory: 32Gi}}
    env: [{name: A, value: b}]
    nodeSelector: {pool: gpu}
    tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
"""


def changed(**spec):
    job = yaml.safe_load(JOB)
    job["spec"].update(spec)
    return job


def test_the_whole_manifest_of_the_design_is_understood():
    job = parse_job(yaml.safe_load(JOB), "job.yaml")
    assert job.spec.tasks[0].generation.max_new_tokens == 512
    assert job.spec.model.endpoint.max_concurrency == 64


def test_a_manifest_survives_writing_and_reading():
    job = parse_job(yaml.safe_load(JOB), "job.yaml")
    assert EvalJob.model_validate(job.model_dump(mode="json")) == job


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replica": 4}, ["spec.replica", "no such field", "replicas"]),
        ({"replicas": 0}, ["spec.replicas", "0 is not allowed", "greater than or equal to 1"]),
        ({"replicas": "many"}, ["spec.replicas", "'many' is not allowed", "valid integer"]),
        ({"tasks": []}, ["spec.tasks", "at least 1"]),
        ({"tasks": [{"name": "a"}, {"name": "a"}]}, ["spec", "task a is listed twice"]),
        ({"tasks": [{"limit": 3}]}, ["spec.tasks[0].name", "required"]),
        (
            {"tasks": [{"name": "a", "generation": {"temprature": 1}}]},
            ["spec.tasks[0].generation.temprature", "temperature"],
        ),
        ({"model": {"backend": "openai", "name": "m"}}, ["spec.model", "no endpoint", "model.endpoint.url"]),
        (
            {"model": {"backend": "vllm", "name": "m", "endpoint": {"url": "http://x"}}},
            ["spec.model", "only backend openai takes an endpoint", "remove"],
        ),
        ({"model": {"backend": "vlm", "name": "m"}}, ["spec.model.backend", "'vlm' is not allowed", "vllm"]),
        ({"storage": {"uri": "gs://bucket"}}, ["spec.storage.uri", "gs://bucket", "s3://"]),
        ({"taskSources": [{}]}, ["spec.taskSources[0]", "exactly one"]),
        ({"errorPolicy": {"maxErrorRate": 2}}, ["spec.errorPolicy.maxErrorRate", "less than or equal to 1"]),
    ],
)
def test_a_wrong_field_is_named_with_what_would_be_right(spec, words):
    with pytest.raises(SpecError) as error:
        parse_job(changed(**spec), "job.yaml")
    sentence = str(error.value)
    assert error.value.exit_code == 64
    assert sentence.startswith("job.yaml: ") and sentence.endswith(".") and "\n" not in sentence
    for word in words:
        assert word in sentence, sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", ["line", "no valid YAML"]),
        ("- a\n- b\n", ["no mapping"]),
        ("kind: Pod\n", ["no EvalJob"]),
        (JOB + "\n---\n" + JOB, ["2 EvalJobs"]),
        ("", ["no EvalJob"]),
    ],
)
def test_a_file_that_holds_no_single_job_is_refused(tmp_path: Path, text, words):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        read_manifest(path)
    for word in words:
        assert word in str(error.value)


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(SpecError, match=r"nowhere\.yaml: the manifest cannot be read \(no such file or directory\)"):
        read_manifest(tmp_path / "nowhere.yaml")


def test_every_field_of_both_kinds_has_a_description():
    for kind in (EvalJob, ClusterEvalRuntime):
        schema = kind.model_json_schema()
        for name, definition in [(kind.__name__, schema), *schema["$defs"].items()]:
            for field, about in definition.get("properties", {}).items():
                referred = schema["$defs"].get(about.get("$ref", "").rpartition("/")[2], {})
                assert about.get("description") or referred.get("description"), f"{name}.{field} has no description"


def test_a_runtime_with_everything_is_understood():
    runtime = ClusterEvalRuntime.model_validate(
        {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ClusterEvalRuntime",
            "metadata": {"name": "default"},
            "spec": {
                "images": {"default": "assay-runner:0.1.0", "vllm": "assay-runner-vllm:0.1.0"},
                "podTemplate": {"volumes": [{"name": "cache", "emptyDir": {}}], "serviceAccountName": "evals"},
                "storage": {"uri": "s3://evals/runs"},
                "cache": {"volumeName": "cache"},
                "allowed": {"taskCode": True},
                "caps": {"maxReplicas": 8},
                "namespaces": ["research"],
            },
        }
    )
    assert runtime.spec.allowed.task_code and not runtime.spec.allowed.remote_code
