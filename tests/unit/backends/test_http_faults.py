"""What HTTP answers mean."""

import json
from datetime import UTC, datetime

import pytest

from assay_runner.backends.http_faults import excerpt, judge, retry_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def error(message: str, **more: str) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "whose"),
    [
        (408, "retry"),
        (409, "retry"),
        (425, "retry"),
        (500, "retry"),
        (429, "load"),
        (503, "load"),
        (529, "load"),
        (502, "away"),
        (504, "away"),
    ],
)
def test_passing_faults_are_tried_again_and_told_apart_by_whose_they_are(status: int, whose: str) -> None:
    verdict = judge(status, error("busy"), None)
    assert (verdict.outcome, verdict.kind) == (whose, f"HTTP{status}")


@pytest.mark.parametrize("status", [401, 403, 404, 301, 307])
def test_what_no_request_can_survive_ends_the_worker(status: int) -> None:
    assert judge(status, error("no"), None).outcome == "fatal"


@pytest.mark.parametrize(
    "body",
    [
        error(
            "This model's maximum context length is 4096 tokens. However, you requested 5000.", type="BadRequestError"
        ),
        error("too long", code="context_length_exceeded"),
        error("the request exceeds the available context size", type="exceed_context_size_error"),
    ],
)
def test_a_prompt_that_is_too_long_is_named_so(body: bytes) -> None:
    assert judge(400, body, None).kind == "ContextTooLong"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("Unrecognized request argument supplied: top_k", type="invalid_request_error")),
        (400, error("Unknown parameter: 'top_k'.", code="unknown_parameter", param="top_k")),
        (400, error("property 'top_k' is unsupported")),
        (400, error('Invalid JSON payload received. Unknown name "top_k": Cannot find field.')),
        (422, json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra"}]}).encode()),
        (400, error("[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'Extra inputs'}]")),
        (
            422,
            json.dumps(
                {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra"}]}}
            ).encode(),
        ),
    ],
)
def test_a_field_that_a_strict_server_refuses_is_named_with_the_way_out(status: int, body: bytes) -> None:
    verdict = judge(status, body, None)
    assert (verdict.outcome, verdict.kind) == ("row", "UnknownField")
    assert verdict.message.startswith("the server does not take top_k; remove top_k from the generation settings")


@pytest.mark.parametrize(
    ("field", "way"),
    [
        ("max_tokens", "args.token_limit: max_completion_tokens"),
        ("stream_options", "remove args.stream"),
        ("top_logprobs", "remove args.logprobs"),
        ("min_p", "remove min_p from args.extra_body"),
    ],
)
def test_the_way_out_is_that_of_the_field(field: str, way: str) -> None:
    assert way in judge(400, error("no", code="unsupported_parameter", param=field), None).message


def test_a_list_of_faults_is_told_by_their_fields() -> None:
    faults = [{"type": "float_type", "loc": ["body", "top_p"], "msg": "Input should be a number"}]
    verdict = judge(422, json.dumps({"detail": faults}).encode(), None)
    assert verdict.message == "top_p: Input should be a number"
    assert verdict.kind == "HTTP422"


def test_a_filtered_prompt_is_told_apart() -> None:
    assert judge(400, error("The response was filtered", code="content_filter"), None).kind == "ContentFilter"


def test_other_bad_requests_keep_their_status() -> None:
    verdict = judge(400, error("top_k must be positive"), None)
    assert (verdict.outcome, verdict.kind) == ("row", "HTTP400")
    assert "top_k must be positive" in verdict.message


def test_a_spent_quota_is_not_waited_for() -> None:
    assert judge(429, error("You exceeded your quota", code="insufficient_quota"), None).outcome == "fatal"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000, b'"text"', b'{"error": 5}'])
def test_any_body_can_be_told(body: bytes) -> None:
    assert len(excerpt(body, None)) <= 200
    assert judge(500, body, None).outcome == "retry"


def test_the_key_is_blanked_out() -> None:
    assert "sk-secret" not in excerpt(error("Incorrect API key provided: sk-secret"), "sk-secret")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("-1", 0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
