"""What a body says: the answer, and beside it what the model thought, called and how sure it was."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import ToolCall
from assay_runner.backends.openai_answers import decode_generation
from assay_runner.backends.openai_replies import BadResponseError, FilteredError, NoLogprobsError, UnanswerableError


def chat(message: Any, **choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]}).encode()


def test_an_answer_with_all_it_says() -> None:
    document = json.loads(chat({"content": "yes\nno", "reasoning_content": "hm"}))
    document["usage"] = {"prompt_tokens": 5, "completion_tokens": 2}
    answer = decode_generation(json.dumps(document).encode(), "chat", ("\n",))
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("yes", "hm", "stop")
    assert (answer.tokens_in, answer.tokens_out) == (5, 2)


def test_an_empty_answer_is_an_answer() -> None:
    assert decode_generation(chat({"content": ""}), "chat", ()).text == ""


def test_reasoning_without_an_answer_is_an_empty_answer() -> None:
    answer = decode_generation(chat({"content": None, "reasoning": "hm"}, finish_reason="length"), "chat", ())
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("", "hm", "length")


def test_a_withheld_answer_is_told_apart() -> None:
    with pytest.raises(FilteredError):
        decode_generation(chat({"content": None}, finish_reason="content_filter"), "chat", ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"choices": [{"mess',
        b"[]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [null]}',
        b"[" * 100_000,
        b'{"choices": [{"message": null}]}',
        chat({"content": None}),
        chat({"content": 5}),
        chat({"content": ["a"]}),
        chat({}),
        chat({"content": "x"}, finish_reason=3),
    ],
)
def test_a_body_that_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadResponseError):
        decode_generation(body, "chat", ())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_json_makes_the_decoder_stumble(value: Any) -> None:
    for body in (value, {"choices": [value]}, {"choices": [{"message": value, "text": value}], "usage": value}):
        with suppress(BadResponseError, FilteredError):
            assert isinstance(decode_generation(json.dumps(body).encode(), "chat", ()).text, str)


CALL = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}


@pytest.mark.parametrize("content", [None, "", "Let me see."])
def test_tool_calls_are_kept_apart_and_need_no_text(content: str | None) -> None:
    answer = decode_generation(chat({"content": content, "tool_calls": [CALL]}, finish_reason="tool_calls"), "chat", ())
    assert answer.tool_calls == (ToolCall("weather", '{"city": "Ulm"}'),)
    assert (answer.text, answer.finish_reason) == (content or "", "tool_calls")


def test_arguments_that_are_an_object_become_text() -> None:
    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    assert decode_generation(chat({"tool_calls": [call]}), "chat", ()).tool_calls == (ToolCall("f", '{"x": 1}'),)


@pytest.mark.parametrize("calls", [5, [None], [{}], [{"function": {"arguments": "{}"}}]])
def test_a_call_of_nothing_is_no_answer(calls: Any) -> None:
    with pytest.raises(BadResponseError):
        decode_generation(chat({"content": "x", "tool_calls": calls}), "chat", ())


@pytest.mark.parametrize(
    ("text", "finish_reason", "reasoning", "answer"),
    [
        ("<think>hm\nno</think>\n\nyes", "stop", "hm\nno", "yes"),
        ("hm</think>yes", "stop", "hm", "yes"),
        ("\n<think>hm", "length", "hm", ""),
        ("<think></think>yes", "stop", None, "yes"),
        ("yes", "stop", None, "yes"),
        ("<think> is a tag", "stop", None, "<think> is a tag"),
    ],
)
def test_reasoning_between_tags_is_told_apart_when_asked_for(
    text: str, finish_reason: str, reasoning: str | None, answer: str
) -> None:
    body = chat({"content": text}, finish_reason=finish_reason)
    found = decode_generation(body, "chat", (), tags=True)
    assert (found.reasoning, found.text) == (reasoning, answer)
    assert decode_generation(body, "chat", ()).text == text


def test_a_stop_string_in_the_reasoning_does_not_end_the_answer() -> None:
    body = chat({"content": "<think>a\nb</think>yes\nno"})
    assert decode_generation(body, "chat", ("\n",), tags=True).text == "yes"


def test_tokens_of_reasoning_are_counted() -> None:
    document = json.loads(chat({"content": "yes"}))
    document["usage"] = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}
    assert decode_generation(json.dumps(document).encode(), "chat", ()).tokens_reasoning == 7


CHAT_FORM = {
    "content": [
        {"token": "y", "logprob": -0.12345678, "bytes": [121], "top_logprobs": [{"token": "n", "logprob": -2}]},
        {"token": "es", "logprob": -3e-7, "top_logprobs": []},
    ]
}
OLD_FORM = {"tokens": ["y", "es"], "token_logprobs": [-0.12345678, -3e-7], "top_logprobs": [{"n": -2}, None]}


@pytest.mark.parametrize("form", [CHAT_FORM, OLD_FORM])
def test_log_probabilities_are_read_in_both_forms(form: Any) -> None:
    found = decode_generation(chat({"content": "yes"}, logprobs=form), "chat", (), logprobs=True).logprobs
    assert found is not None
    assert (found.tokens, found.logprobs, found.top) == (("y", "es"), (-0.1235, 0.0), ((("n", -2.0),), ()))


def test_log_probabilities_that_were_asked_for_and_do_not_come_are_an_error() -> None:
    with pytest.raises(NoLogprobsError, match=r"args\.logprobs"):
        decode_generation(chat({"content": "yes"}), "chat", (), logprobs=True)
    assert decode_generation(chat({"content": ""}), "chat", (), logprobs=True).logprobs is None


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_no_log_probabilities_make_the_decoder_stumble(value: Any) -> None:
    for form in (value, {"content": [value]}, {"tokens": [value], "token_logprobs": [value]}):
        with suppress(BadResponseError, UnanswerableError):
            decode_generation(chat({"content": "x"}, logprobs=form), "chat", (), logprobs=True)
