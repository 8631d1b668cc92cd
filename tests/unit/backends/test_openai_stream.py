"""Streamed answers."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import ToolCall
from assay_runner.backends.openai_answers import Answer, decode_generation
from assay_runner.backends.openai_replies import BadResponseError, UnanswerableError
from assay_runner.backends.openai_stream import FirstToken
from support.streaming import events_of


def read(body: bytes, **options: Any) -> Answer:
    return decode_generation(body, options.pop("api", "chat"), (), streamed=True, **options)


def sent(*events: Any, done: bool = True) -> bytes:
    ending = ["[DONE]"] if done else []
    lines = [json.dumps(event) for event in events] + ending
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


MESSAGES = st.fixed_dictionaries(
    {"content": st.text()},
    optional={
        "reasoning_content": st.text(min_size=1),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"function": st.fixed_dictionaries({"name": st.text(min_size=1), "arguments": st.text()})}
            ),
            min_size=1,
            max_size=2,
        ),
    },
)


@given(MESSAGES, st.integers(1, 4), st.sampled_from(["\n", "\r\n"]))
def test_a_stream_says_what_the_whole_document_would(message: dict[str, Any], size: int, end: str) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    stream = b"".join(events_of(whole, size)).replace(b"\n", end.encode())
    assert read(stream) == read(json.dumps(whole).encode())


def test_completions_are_streamed_too() -> None:
    first, second = ({"choices": [{"index": 0, "text": text, "logprobs": None}]} for text in ("ye", "s"))
    assert read(sent(first, second), api="completions").text == "yes"


def test_log_probabilities_of_a_stream_are_put_together() -> None:
    events = [
        {"choices": [{"index": 0, "delta": {"content": one}, "logprobs": {"content": [{"token": one, "logprob": -1}]}}]}
        for one in ("y", "es")
    ]
    found = read(sent(*events), logprobs=True).logprobs
    assert found is not None and found.tokens == ("y", "es")


def test_parts_of_calls_go_to_their_call() -> None:
    body = sent(
        delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 1, "function": {"name": "g", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
        delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}]),
    )
    assert read(body).tool_calls == (ToolCall("f", "{}"), ToolCall("g", "{}"))


def test_comments_and_other_fields_are_passed_over() -> None:
    body = b": keep-alive\n\nevent: message\nid: 1\n" + sent(delta(content="yes"))
    assert read(body).text == "yes"


@pytest.mark.parametrize(
    "body",
    [b"", b"data: {\n\n", b"data: 5\n\n", sent(), sent(delta(content="ye"), done=False), sent(delta(content=5))],
)
def test_a_stream_that_is_broken_or_cut_is_no_answer(body: bytes) -> None:
    with pytest.raises(BadResponseError):
        read(body)


def test_an_error_in_the_middle_is_told_by_its_class() -> None:
    too_long = {"error": {"message": "maximum context length is 10", "code": 400}}
    with pytest.raises(UnanswerableError) as refused:
        read(sent(delta(content="y"), too_long))
    assert refused.value.kind == "ContextTooLong"
    with pytest.raises(BadResponseError, match="engine died"):
        read(sent(delta(content="y"), {"error": {"message": "engine died"}}))


@given(
    st.binary() | st.lists(st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
)
def test_no_stream_makes_the_reader_stumble(found: Any) -> None:
    body = found if isinstance(found, bytes) else sent(*found, *({"choices": [one]} for one in found))
    FirstToken()(body)
    with suppress(BadResponseError, UnanswerableError):
        read(body)


@given(st.integers(1, 40))
def test_the_first_token_is_seen_in_the_piece_that_completes_it(size: int) -> None:
    before = sent({"choices": []}, delta(role="assistant", content=""), done=False)
    body = before + sent(delta(content="y"))
    watch = FirstToken()
    seen = next(start for start in range(0, len(body), size) if watch(body[start : start + size]))
    complete = body.index(b"\n", len(before))
    assert seen <= complete < seen + size
