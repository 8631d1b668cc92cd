"""What an API server refuses is told in its own words without its grammar. The answers are those of a real one."""

import json

import pytest

from assay_runner.cluster.answers import ApiRefused, ApiUnavailable, conflict, refusal, rejection

SERVER = "https://10.0.0.1:6443"
UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def answered(code, message="", **details):
    body = json.dumps({"kind": "Status", "message": message, "details": details, "code": code})
    return refusal(code, body.encode(), SERVER)


def rejected(*causes):
    details = {"causes": [{"reason": "FieldValueInvalid", "field": field, "message": text} for field, text in causes]}
    return str(rejection("job.yaml", answered(422, "EvalJob is invalid", kind="EvalJob", **details))).splitlines()


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        (
            ("spec.seed", "Invalid value: -1: spec.seed in body should be greater than or equal to 0"),
            "job.yaml: spec.seed: should be greater than or equal to 0.",
        ),
        (
            ("spec.model.endpoint", 'Invalid value: "object": only backend openai takes an endpoint; remove it'),
            "job.yaml: spec.model.endpoint: only backend openai takes an endpoint; remove it.",
        ),
        (("spec.model", "Required value"), "job.yaml: spec.model: Required value."),
        (
            ("spec.model.backend", 'Unsupported value: "zz": supported values: "vllm", "openai"'),
            'job.yaml: spec.model.backend: Unsupported value: "zz": supported values: "vllm", "openai".',
        ),
        (
            ("spec.storage.uri", "Invalid value: \"ftp://a: b\": spec.storage.uri in body should match '^s3'"),
            "job.yaml: spec.storage.uri: should match '^s3'.",
        ),
    ],
)
def test_a_rejected_manifest_is_told_by_field(cause, line):
    assert rejected(cause) == [line]


def test_every_mistake_has_a_line_and_what_was_not_checked_has_none():
    lines = rejected(
        ("spec.model", "Required value"), ("spec.seed", "Invalid value: -1: too small"), ("<nil>", UNCHECKED)
    )
    assert lines == ["job.yaml: spec.model: Required value.", "job.yaml: spec.seed: too small."]


def test_a_wrong_manifest_exits_with_64():
    assert rejection("job.yaml", answered(400, "invalid object type")).exit_code == 64


def test_a_field_that_the_schema_does_not_have_is_a_mistake_in_the_manifest_although_the_server_says_500():
    error = answered(
        500,
        "failed to create typed patch object (ns/bad; assay.dev/v1alpha1, Kind=EvalJob): .spec.foo: field not declared in schema",
    )
    assert isinstance(error, ApiRefused) and error.code == 422
    assert str(rejection("job.yaml", error)) == "job.yaml: spec.foo: field not declared in schema."


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_may_answer_later(code):
    assert isinstance(answered(code, "etcdserver: request timed out"), ApiUnavailable)


def test_a_server_without_our_kinds_says_that_assay_is_not_installed_and_may_only_have_just_started():
    error = refusal(404, b"404 page not found\n", SERVER)
    assert isinstance(error, ApiUnavailable) and "knows no EvalJobs; install Assay" in str(error)


def test_missing_things_and_permissions_are_named():
    assert str(answered(404, 'namespaces "x" not found', kind="namespaces", name="x")) == (
        "There is no namespace x; create it or choose another --namespace."
    )
    forbidden = 'evaljobs.assay.dev "x" is forbidden: User "u" cannot get resource "evaljobs"'
    assert str(answered(403, forbidden, kind="evaljobs", name="x")) == f"{forbidden}."
    assert "does not accept your credentials" in str(answered(401, "Unauthorized"))


def test_a_conflict_names_the_fields_and_the_way_out():
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-patch" using assay.dev/v1alpha1',
            "field": f".spec.{field}",
        }
        for field in ("seed", "replicas")
    ]
    error = conflict("x", "job.yaml", answered(409, "Apply failed with 2 conflicts", causes=causes))
    assert str(error).startswith("evaljob/x: spec.replicas, spec.seed were set by another tool to another value; ")
    assert "--force-conflicts -f job.yaml" in str(error) and error.exit_code == 1
