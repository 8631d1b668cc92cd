"""The openai backend against a server that misbehaves."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from assay_api.errors import Failed, SpecError
from assay_api.evaljob import Model
from assay_runner.backends.base import BackendFailed, Response
from assay_runner.backends.registry import preflight
from support import endpoint as server
from support.clients import through_openai
from support.endpoint import MODEL, Fault, TestEndpoint, status
from support.models import ask, score, started_answers

KEY = "sk-very-secret"


def run(endpoint: TestEndpoint, count: int = 1, **changes: Any) -> list[Response]:
    async def scenario() -> list[Response]:
        batches = [[ask(str(place), f"question {place}")] for place in range(count)]
        return await started_answers(through_openai(endpoint, **changes), batches)

    return asyncio.run(scenario())


PASSING = [
    status(408),
    status(409),
    status(425),
    status(429),
    status(500),
    status(502),
    status(503),
    status(529),
    server.DROPPED,
    server.HTML,
    server.HALF_JSON,
    server.NO_CHOICES,
    server.NULL_CONTENT,
    server.WRONG_TYPES,
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_survived_and_counted(fault: Fault) -> None:
    with TestEndpoint(faults=[fault, fault]) as endpoint:
        (response,) = run(endpoint)
    assert response.error is None
    assert response.text in server.WORDS
    assert response.attempts == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(500), "HTTP500"),
        (server.DROPPED, "Connection"),
        (server.HTML, "BadResponse"),
        (server.HALF_JSON, "BadResponse"),
        (server.NO_CHOICES, "BadResponse"),
        (Fault(delay=5), "Timeout"),
    ],
)
def test_a_fault_that_does_not_pass_is_an_error_row_with_its_tries(fault: Fault, kind: str) -> None:
    with TestEndpoint(faults=[fault] * 3) as endpoint:
        (response,) = run(endpoint, retries=2, timeout=0.3)
    assert response.error is not None
    assert (response.error.kind, response.attempts, response.text) == (kind, 3, None)


def test_what_a_request_itself_gets_wrong_is_not_tried_again() -> None:
    too_long = status(400, "This model's maximum context length is 10 tokens")
    with TestEndpoint(fault_for=lambda body: too_long if "1" in body["messages"][0]["content"] else None) as endpoint:
        wrong = {response.key: response for response in run(endpoint, 3)}
        asked = len(endpoint.bodies)
    assert wrong["1"].error is not None and wrong["1"].error.kind == "ContextTooLong"
    assert wrong["0"].error is None and wrong["2"].error is None
    assert asked == 3


@pytest.mark.parametrize("code", [401, 403, 404, 307])
def test_what_no_request_can_survive_ends_the_worker(code: int) -> None:
    with TestEndpoint(faults=[status(code, f"no, {KEY}")] * 100) as endpoint, pytest.raises(BackendFailed) as failure:
        run(endpoint, 20, api_key=KEY)
    assert endpoint.url in str(failure.value)
    assert KEY not in str(failure.value)


def test_a_wrong_key_is_found_at_the_start_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with TestEndpoint(api_key="another") as endpoint, pytest.raises(BackendFailed) as failure:
        run(endpoint, api_key=KEY)
    assert "401" in str(failure.value)
    assert KEY not in str(failure.value) + repr(failure.value) + caplog.text


def test_a_key_with_the_newline_of_its_file_works() -> None:
    with TestEndpoint(api_key=KEY) as endpoint:
        assert run(endpoint, api_key=KEY + "\n")[0].error is None


def test_no_more_requests_are_in_flight_than_allowed_and_as_many_are() -> None:
    with TestEndpoint(latency=0.02) as endpoint:
        assert len(run(endpoint, 60, concurrency=6)) == 60
        assert endpoint.peak == 6


def test_requests_overlap() -> None:
    with TestEndpoint(latency=0.2) as endpoint:
        began = asyncio.new_event_loop().time()
        run(endpoint, 32, concurrency=32)
        assert asyncio.new_event_loop().time() - began < 3


def test_retry_after_pauses_all_requests() -> None:
    with TestEndpoint(faults=[status(429, Retry_After="40")]) as endpoint:
        times: list[float] = []
        loop_time = asyncio.new_event_loop().time

        def note(body: dict[str, Any]) -> None:
            times.append(loop_time())

        endpoint.fault_for = note  # type: ignore[assignment]
        began = loop_time()
        found = run(endpoint, 8, concurrency=1)
    assert all(response.error is None for response in found)
    assert min(times) - began >= 0.39


def test_an_endpoint_that_comes_late_is_waited_for() -> None:
    with TestEndpoint() as first:
        port = first.port

    async def scenario() -> list[Response]:
        late = TestEndpoint(port=port)
        backend = through_openai(late)
        task = asyncio.create_task(started_answers(backend, [[ask(str(place), "x")] for place in range(10)]))
        await asyncio.sleep(0.3)
        with late:
            return await task

    found = asyncio.run(scenario())
    assert len(found) == 10
    assert all(response.error is None and response.attempts == 1 for response in found)


def test_an_endpoint_that_stays_away_ends_the_worker() -> None:
    with TestEndpoint() as endpoint:
        pass
    with pytest.raises(BackendFailed, match=r"has answered no request for 1[23]\d s .*refused"):
        run(endpoint, 5)


def test_a_redirect_is_not_followed() -> None:
    elsewhere = Fault(307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"})
    with TestEndpoint(faults=[elsewhere]) as endpoint, pytest.raises(BackendFailed, match="redirects"):
        run(endpoint)


def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay_runner.backends.http_client.LARGEST_BODY", 10_000)
    with TestEndpoint(faults=[Fault(body=b"x" * 200_000)]) as endpoint:
        (response,) = run(endpoint, retries=0)
    assert response.error is not None and "larger than" in response.error.message


def test_a_missing_picture_is_an_error_row(tmp_path: Path) -> None:
    from dataclasses import replace

    from assay_runner.backends.base import Message
    from assay_runner.media import from_file

    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    medium = from_file(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    asked = replace(ask("k", "x"), messages=(Message("user", (medium,)),), prompt=None)

    async def scenario(endpoint: TestEndpoint) -> list[Response]:
        return await started_answers(through_openai(endpoint), [[asked]])

    with TestEndpoint() as endpoint:
        (response,) = asyncio.run(scenario(endpoint))
        assert endpoint.bodies == []
    assert response.error is not None and response.error.kind == "MediaError"


def test_scores_are_read_off_the_echo() -> None:
    async def scenario(endpoint: TestEndpoint) -> list[Response]:
        return await started_answers(through_openai(endpoint), [[score("k", "the cat", " sat on")]])

    with TestEndpoint() as endpoint:
        (response,) = asyncio.run(scenario(endpoint))
    expected = server.token_logprob("the cat", " sat") + server.token_logprob("the cat sat", " on")
    assert response.logprob == pytest.approx(expected)
    assert response.tokens == 2


def model(url: str, name: str = MODEL, **args: Any) -> Model:
    return Model.model_validate({"backend": "openai", "name": name, "endpoint": {"url": url}, "args": args})


def test_preflight_is_content_with_a_server_that_serves_the_model() -> None:
    with TestEndpoint(api_key=KEY) as endpoint:
        preflight(model(endpoint.url), KEY)
        preflight(model(endpoint.url, loglikelihood=True), KEY)


def test_preflight_is_content_with_a_server_that_lists_nothing() -> None:
    with TestEndpoint(models=None) as endpoint:
        preflight(model(endpoint.url), None)


def test_preflight_names_the_models_there_are() -> None:
    with (
        TestEndpoint(models=["one", "two"]) as endpoint,
        pytest.raises(SpecError, match="serves no model three; it serves: one"),
    ):
        preflight(model(endpoint.url, "three"), None)


def test_preflight_says_how_to_give_a_key() -> None:
    with TestEndpoint(api_key=KEY) as endpoint, pytest.raises(SpecError, match="OPENAI_API_KEY") as refusal:
        preflight(model(endpoint.url), "sk-another-one")
    assert "sk-another-one" not in str(refusal.value)


def test_preflight_says_that_nobody_is_there() -> None:
    with TestEndpoint() as endpoint:
        pass
    with pytest.raises(Failed, match="cannot be reached") as failure:
        preflight(model(endpoint.url), None)
    assert endpoint.url in str(failure.value)


def test_preflight_finds_a_server_that_gives_no_log_likelihoods() -> None:
    async def no_echo(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return server.reply(path, "yes", "stop", 1, 1)

    with TestEndpoint(answer=no_echo) as endpoint, pytest.raises(SpecError, match=r"args\.loglikelihood"):
        preflight(model(endpoint.url, loglikelihood=True), None)
