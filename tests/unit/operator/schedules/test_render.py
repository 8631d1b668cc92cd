"""What schedules make: EvalJobs that are the template's, and a watching pod that is as restricted as any."""

import json

import pytest

from assay_api.evaljob import EvalJob
from assay_operator.names import STEP
from assay_operator.schedules.draft import StartJob
from assay_operator.schedules.names import SCHEDULE_UID, number_of
from assay_operator.schedules.render import evaljob, watcher, watcher_digest
from assay_runner.cli import parser
from support.control_plane import runtime
from support.schedules import JOB, START, UID, schedule, watching

OFFER = {
    "images": {"default": "runner:1", "transformers": "runner-gpu:1"},
    "podTemplate": {
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "serviceAccountName": "evals",
    },
}
MODEL = {
    "backend": "openai",
    "name": "$(CHECKPOINT_URI)",
    "args": {"a": ["$(CHECKPOINT_NAME)", 1], "b": {"c": "x/$(CHECKPOINT_URI)/$(HOME)"}},
    "server": {"name": "v", "args": ["--served-model-name=$(CHECKPOINT_NAME)"]},
}


def made(there, **start):
    body = evaljob(there, StartJob(**start))
    EvalJob.model_validate(body)
    return body


def test_an_evaljob_by_cron_is_the_template_with_its_labels_its_owner_and_its_time():
    template = {"metadata": {"labels": {"team": "a"}, "annotations": {"why": "nightly"}}, "spec": JOB}
    body = made(schedule(template=template), number=7, due=START)
    meta = body["metadata"]
    assert (meta["name"], meta["namespace"]) == ("nightly-7", "research")
    assert meta["labels"] == {"team": "a", "assay.dev/schedule": "nightly", SCHEDULE_UID: UID}
    assert meta["annotations"] == {"why": "nightly", "assay.dev/scheduled-for": "2026-01-01T00:00:00Z"}
    (owner,) = meta["ownerReferences"]
    assert owner["uid"] == UID and owner["controller"] and owner["kind"] == "EvalSchedule"
    assert body["spec"]["storage"] == JOB["storage"]


@pytest.mark.parametrize(
    ("uri", "address"),
    [("s3://train/run-7/", "s3://train/run-7/checkpoint-5"), ("file:///data/run", "/data/run/checkpoint-5")],
)
def test_a_checkpoint_is_put_in_wherever_it_is_named_and_nothing_else_is(uri, address):
    there = watching(watch={"uri": uri}, template={"spec": {**JOB, "model": MODEL}})
    body = made(there, number=3, checkpoint="checkpoint-5")
    model = body["spec"]["model"]
    assert model["name"] == address and body["metadata"]["annotations"] == {"assay.dev/checkpoint": address}
    assert model["args"] == {"a": ["checkpoint-5", 1], "b": {"c": f"x/{address}/$(HOME)"}}
    assert model["server"]["args"] == ["--served-model-name=checkpoint-5"]


def test_a_checkpoints_name_is_put_in_as_it_is():
    there = watching(template={"spec": {**JOB, "model": {**MODEL, "args": {}}}})
    name = "checkpoint-$(CHECKPOINT_URI)"
    assert made(there, number=1, checkpoint=name)["spec"]["model"]["name"] == f"s3://train/run-7/{name}"


def test_a_number_is_read_off_names_of_this_schedule_alone():
    assert number_of("nightly", "nightly-12") == 12
    assert [
        number_of("nightly", name) for name in ("nightly-x", "nightly", "other-1", "nightly-b-1", "nightly-012")
    ] == [None] * 5


def watch_job(there=None, offer=None, after=0):
    there = there or watching()
    return watcher(there, there.spec.watch, runtime(**(offer or OFFER)), after)


def test_the_watching_pod_is_restricted_has_no_token_and_asks_for_no_gpu():
    job = watch_job()
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["image"] == "runner:1" and "nvidia.com/gpu" not in json.dumps(container["resources"])
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    variables = {item["name"]: item for item in container["env"]}
    assert variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "s3"
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels[STEP] == "watch" and labels[SCHEDULE_UID] == UID and "assay.dev/job-uid" not in labels
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID


def test_the_watching_pod_runs_a_command_that_there_is():
    there = watching(watch={"uri": "s3://train/$(RUN)", "pattern": "-*", "readyFile": "DONE", "settleSeconds": 5})
    (container,) = watch_job(there, after=12)["spec"]["template"]["spec"]["containers"]
    # Kubernetes makes one dollar sign of two.
    options = parser().parse_args([argument.replace("$$", "$") for argument in container["args"]])
    assert options.command == "watch" and options.uri == "s3://train/$(RUN)" and options.pattern == "-*"
    assert options.numbers == f"s3://evals/runs/research/nightly/{UID}"
    assert (options.ready_file, options.settle, options.poll, options.after) == ("DONE", 5.0, 60.0, 12)
    assert options.patience == 3605 and options.report == "/dev/termination-log"


def test_what_a_watcher_is_told_to_be_known_makes_no_other_watcher_of_it():
    marks = [watch_job(after=after)["metadata"]["annotations"] for after in (0, 5)]
    assert marks[0] == marks[1]
    assert watcher_digest(watching(), runtime()) != watcher_digest(watching(), runtime(**OFFER))


def test_the_longest_names_stay_within_the_limits():
    there = watching()
    long = there.model_copy(update={"metadata": there.metadata.model_copy(update={"name": "n" * 52})})
    assert len(made(long, number=99_999_999, checkpoint="c")["metadata"]["name"]) <= 63
    assert len(watch_job(long)["metadata"]["name"]) + len("-abcde") <= 63
