"""The openai backend against servers that speak the API in their own ways."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from assay_api.errors import SpecError
from assay_api.evaljob import Model
from assay_runner.backends.base import Request, Response, ToolCall
from assay_runner.backends.openai_plan import describe
from assay_runner.backends.registry import preflight
from support.clients import through_openai
from support.dialects import forbidding, llama_cpp, llama_cpp_answer, strict
from support.endpoint import MODEL, WORDS, Fault, TestEndpoint, reply
from support.models import ask, started_answers
from support.streaming import events_of


def run(endpoint: TestEndpoint, requests: Sequence[Request], args: dict[str, Any], **changes: Any) -> list[Response]:
    describe(
        Model.model_validate({"name": MODEL, "backend": "openai", "args": args, "endpoint": {"url": endpoint.url}})
    )

    async def scenario() -> list[Response]:
        found = await started_answers(through_openai(endpoint, args=args, **changes), [requests])
        return sorted(found, key=lambda response: response.key)

    return asyncio.run(scenario())


def test_a_strict_server_answers_when_it_is_spoken_to_in_its_words() -> None:
    with TestEndpoint(refuse=strict) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"token_limit": "max_completion_tokens"})
    assert response.text in WORDS


@pytest.mark.parametrize(("refuse", "field"), [(strict, "max_tokens"), (forbidding, "top_k")])
def test_a_strict_server_s_refusal_names_the_field_and_the_way_out(refuse: Any, field: str) -> None:
    with TestEndpoint(refuse=refuse) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi", top_k=3)], {})
    assert response.error is not None and response.attempts == 1
    assert response.error.kind == "UnknownField"
    assert response.error.message.startswith(f"the server does not take {field}; ")


def test_llama_cpp_is_told_of_a_repetition_penalty_by_its_own_name() -> None:
    with TestEndpoint(answer=llama_cpp_answer, refuse=llama_cpp) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi", repetition_penalty=1.2)], {"dialect": "llama.cpp"})
    assert response.text is not None and response.text.endswith("penalised")


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_llama_cpp_gives_log_probabilities_in_the_chat_form_everywhere(api: str, stream: bool) -> None:
    with TestEndpoint(answer=llama_cpp_answer) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"api": api, "logprobs": 1, "stream": stream})
    assert response.logprobs is not None
    assert "".join(response.logprobs.tokens) == response.text
    assert all(len(likeliest) == 1 for likeliest in response.logprobs.top)


def test_what_llama_cpp_s_context_does_not_hold_is_too_long() -> None:
    with TestEndpoint(answer=llama_cpp_answer, refuse=llama_cpp) as endpoint:
        (response,) = run(endpoint, [ask("1", "far too long " * 10)], {})
    assert response.error is not None and response.error.kind == "ContextTooLong"


def test_llama_cpp_s_missing_echo_is_found_when_a_run_is_planned() -> None:
    with TestEndpoint(answer=llama_cpp_answer) as endpoint:
        args = {"loglikelihood": True}
        told = {"name": MODEL, "backend": "openai", "args": args, "endpoint": {"url": endpoint.url}}
        with pytest.raises(SpecError, match=r"args\.loglikelihood"):
            preflight(Model.model_validate(told), None)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_streaming_changes_nothing_but_that_the_first_token_s_time_is_known(api: str) -> None:
    requests = [ask(str(place), f"question {place}") for place in range(20)]
    with TestEndpoint(pause=0.01) as endpoint:
        whole, streamed = (run(endpoint, requests, {"api": api, "stream": stream}) for stream in (False, True))
    assert [one.text for one in whole] == [one.text for one in streamed]
    assert [one.tokens_out for one in whole] == [one.tokens_out for one in streamed]
    assert all(one.first_token is None for one in whole)
    assert all(one.first_token and one.latency and one.first_token < one.latency for one in streamed)


def test_a_cut_stream_is_asked_for_again() -> None:
    beginning = b"".join([*events_of(reply("chat/completions", "yes", "stop", 1, 1))][:2])
    broken = [Fault(body=beginning, cut=True), Fault(body=beginning, content_type="text/event-stream")]
    with TestEndpoint(faults=broken) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"stream": True})
    assert (response.error, response.attempts) == (None, 3)
    assert response.text in WORDS


def test_a_server_that_does_not_stream_is_understood_all_the_same() -> None:
    whole = Fault(body=json.dumps(reply("chat/completions", "yes", "stop", 1, 1)).encode())
    with TestEndpoint(faults=[whole]) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"stream": True})
    assert (response.text, response.first_token) == ("yes", None)


async def calls_a_tool(path: str, body: dict[str, Any]) -> dict[str, Any]:
    found = reply(path, "", "tool_calls", 5, 3)
    function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"x": 1}'}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    found["choices"][0]["message"] = message
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_offered_by_extra_body_and_calls_kept_apart(stream: bool) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    with TestEndpoint(answer=calls_a_tool) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"extra_body": {"tools": tools}, "stream": stream})
    assert (response.error, response.text, response.finish_reason) == (None, "", "tool_calls")
    assert response.tool_calls == (ToolCall("f", '{"x": 1}'),)


async def thinks(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return reply(path, "<think>hm</think>yes", "stop", 5, 3)


@pytest.mark.parametrize(("reasoning", "text"), [("field", "<think>hm</think>yes"), ("tags", "yes")])
def test_reasoning_in_tags_is_kept_apart_by_an_argument(reasoning: str, text: str) -> None:
    with TestEndpoint(answer=thinks) as endpoint:
        (response,) = run(endpoint, [ask("1", "hi")], {"reasoning": reasoning})
    assert (response.text, response.reasoning) == (text, "hm" if reasoning == "tags" else None)
