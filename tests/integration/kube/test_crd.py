"""What a person sees of EvalJobs through kubectl, and what the API server makes of a job by itself."""

import json
import re
from pathlib import Path

import pytest

from assay_api.crd import files
from assay_api.evaljob import EvalJobSpec
from assay_api.runtime import ClusterEvalRuntimeSpec
from support.manifests import JOB, RUNTIME, changed

CRDS = Path(__file__).parents[3] / "crds"
FILES = [part for name in files() for part in ("-f", CRDS / name)]
STATUS = {
    "phase": "Running",
    "selector": "assay.dev/job=seen",
    "workers": {"active": 3},
    "progress": {"errors": 2},
    "summary": {
        "tasks": "easy_vqa",
        "done": "1,203/9,673",
        "workers": "3/5",
        "score": "exact_match 0.9994 ± 0.0005",
        "note": "2 of 5 workers wait for a node.",
    },
    "resultsUri": "s3://evals/results.json",
}


def named(name, **spec):
    return {**changed(JOB, **spec), "metadata": {"name": name}}


def patch_status(kubectl, name, status):
    kubectl("patch", "ej", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_the_api_server_finds_nothing_to_object_to(kubectl):
    for name in ("evaljobs.test.assay.dev", "evalschedules.test.assay.dev", "clusterevalruntimes.test.assay.dev"):
        conditions = json.loads(kubectl("get", "crd", name, "-o", "json").stdout)["status"]["conditions"]
        holds = {condition["type"]: condition["status"] for condition in conditions}
        assert holds["Established"] == holds["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in holds


def test_the_files_are_accepted_as_they_are(cluster):
    done = cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", *FILES)
    assert done.stdout.count("serverside-applied") == 3


def test_the_api_server_fills_in_the_models_defaults(stored):
    kept = stored(named("plain"))
    assert EvalJobSpec.model_validate(kept["spec"]) == EvalJobSpec.model_validate(JOB["spec"])
    assert kept["spec"]["replicas"] == 1
    assert kept["spec"]["runtimeRef"] == {"name": "default"}
    assert kept["spec"]["errorPolicy"] == {"maxErrorRate": 0, "retries": 3}
    assert kept["spec"]["reclaimPolicy"] == "Retain"


def test_the_api_server_fills_in_a_runtimes_defaults(answer):
    kept = json.loads(answer(RUNTIME).stdout)
    assert ClusterEvalRuntimeSpec.model_validate(kept["spec"]) == ClusterEvalRuntimeSpec.model_validate(RUNTIME["spec"])
    assert kept["spec"]["backends"] == ["vllm", "transformers", "sglang", "openai"]
    assert kept["spec"]["namespaces"] == ["*"]


def test_an_author_does_not_write_the_status(stored):
    assert "status" not in stored({**named("boastful"), "status": {"phase": "Complete"}})


def test_kubectl_get_shows_the_columns(stored, kubectl):
    stored(named("seen"))
    patch_status(kubectl, "seen", STATUS)
    header, row = kubectl("get", "ej", "seen").stdout.splitlines()
    columns = ["NAME", "PHASE", "MODEL", "TASKS", "DONE", "WORKERS", "SCORE", "ERRORS", "AGE", "NOTE"]
    assert header.split() == columns
    cells = dict(zip(columns, re.split(r" {2,}", row), strict=True))
    assert cells["PHASE"] == "Running" and cells["MODEL"] == "tiny" and cells["DONE"] == "1,203/9,673"
    assert cells["WORKERS"] == "3/5" and cells["ERRORS"] == "2" and cells["NOTE"] == "2 of 5 workers wait for a node."
    wide = kubectl("get", "ej", "seen", "-o", "wide").stdout
    assert "QUEUE" in wide and "s3://evals/results.json" in wide


def test_kubectl_get_of_the_category_shows_jobs(stored, kubectl):
    stored(named("seen"))
    assert "evaljob.test.assay.dev/seen" in kubectl("get", "assay", "-o", "name").stdout


def test_a_runtimes_columns(kubectl, stored):
    stored({**changed(RUNTIME, backends=["vllm"]), "metadata": {"name": "test-columns"}})
    header, row = kubectl("get", "cer", "test-columns").stdout.splitlines()
    assert re.split(r" {2,}", header.strip()) == ["NAME", "IMAGE", "BACKENDS", "MAX REPLICAS", "AGE"]
    assert re.split(r" {2,}", row)[:4] == ["test-columns", "assay-runner:0.1.0", '["vllm"]', "64"]


def test_a_job_scales(stored, kubectl):
    stored(named("scaled"))
    patch_status(kubectl, "scaled", STATUS)
    kubectl("scale", "ej", "scaled", "--replicas=5")
    scale = json.loads(kubectl("get", "ej", "scaled", "--subresource=scale", "-o", "json").stdout)
    assert scale["spec"]["replicas"] == 5
    assert scale["status"] == {"replicas": 3, "selector": "assay.dev/job=seen"}


@pytest.mark.parametrize(
    "selector",
    ["spec.model.backend=transformers", "spec.model.name=big", "spec.runtimeRef.name=gpus", "status.phase=Running"],
)
def test_jobs_are_found_by_their_fields(stored, kubectl, selector):
    stored(named("one", model__name="big", runtimeRef={"name": "gpus"}))
    stored(named("two", model={"backend": "vllm", "name": "small"}))
    patch_status(kubectl, "one", {"phase": "Running"})
    patch_status(kubectl, "two", {"phase": "Complete"})
    found = kubectl("get", "ej", "--field-selector", selector, "-o", "name").stdout
    assert found.split() == ["evaljob.test.assay.dev/one"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "evaljobs.spec.tasks",
            ["name", "-required-", "Name of a task, group or tag", "limit", "Only the first so many"],
        ),
        ("evaljobs.spec.model.endpoint", ["Base URL up to and including the version", "maxConcurrency"]),
        ("evaljobs.status.summary", ["The job in a few words"]),
        ("clusterevalruntimes.spec.allowed", ["What jobs may switch on", "taskCode"]),
    ],
)
def test_kubectl_explain_teaches(kubectl, path, words):
    text = " ".join(kubectl("explain", path, "--api-version=test.assay.dev/v1alpha1").stdout.split())
    for word in words:
        assert word in text
    assert "<no description>" not in text


def test_two_conditions_of_one_type_cannot_be(stored, kubectl):
    stored(named("doubled"))
    condition = {"type": "Failed", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    text = json.dumps({"status": {"conditions": [condition, condition]}})
    done = kubectl("patch", "ej", "doubled", "--subresource=status", "--type=merge", "-p", text, check=False)
    assert done.returncode != 0 and "Duplicate value" in done.stderr
