"""What the API server refuses, the models refuse on a laptop, with the same words where the rule is ours."""

import pytest
from pydantic import ValidationError

from assay_api.errors import SpecError, from_validation
from assay_api.evaljob import EvalJob
from assay_api.evalschedule import EvalSchedule
from assay_api.runtime import ClusterEvalRuntime
from support.manifests import JOB, RUNTIME, SCHEDULE, WATCH, WRONG, changed

MODELS = {"EvalJob": EvalJob, "EvalSchedule": EvalSchedule, "ClusterEvalRuntime": ClusterEvalRuntime}


def read(manifest):
    model = MODELS[manifest["kind"]]
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        raise from_validation(error, "file.yaml", model) from error


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG if wrong.laptop != ()], ids=lambda wrong: wrong.what)
def test_a_wrong_manifest_is_refused_with_its_sentence(wrong):
    with pytest.raises(SpecError) as error:
        read(wrong.manifest)
    for word in wrong.words if wrong.laptop is None else wrong.laptop:
        assert word in str(error.value)


@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG if wrong.laptop == ()], ids=lambda wrong: wrong.what)
def test_what_only_a_cluster_cannot_reach_is_fine_on_a_laptop(wrong):
    read(wrong.manifest)


def test_the_manifests_that_the_wrong_ones_differ_from_are_right():
    read(JOB)
    read(RUNTIME)
    read(SCHEDULE)
    read(changed(SCHEDULE, cron=None, watch=WATCH))


@pytest.mark.parametrize("text", ["*/5 * * * *", "0 6 * * 1-5", "30 2 1,15 jan-MAR/2 *", "59 23 31 12 7", "@daily"])
def test_the_usual_cron_expressions_are_accepted(text):
    read(changed(SCHEDULE, cron__schedule=text))


def test_a_volume_or_a_mount_is_listed_once():
    volumes = [{"name": "a"}, {"name": "a"}]
    with pytest.raises(SpecError, match="volume a is listed twice"):
        read(changed(RUNTIME, podTemplate__volumes=volumes))
    mounts = [{"name": "a", "mountPath": "/x"}, {"name": "a", "mountPath": "/x"}]
    with pytest.raises(SpecError, match="mount /x is listed twice"):
        read(changed(RUNTIME, podTemplate__volumes=volumes[:1], podTemplate__volumeMounts=mounts))
