"""The wire format."""

import base64
import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import Generation, Message, Request, Text
from assay_runner.backends.media_text import MediaText
from assay_runner.backends.openai_wire import (
    BadResponseError,
    FilteredError,
    UnsupportedError,
    decode_generation,
    encode_chat,
    encode_completion,
    encode_scoring,
)
from assay_runner.media import from_bytes

PNG = b"\x89PNG\r\n\x1a\n" + b"not decoded on the way"
FULL = Generation(7, 0.5, 0.9, 40, 1.1, ("\n", "Q:", "A:", "B:", "C:"))


def request(
    *parts: Any, prompt: str | None = "p", generation: Generation = FULL, continuation: str | None = None
) -> Request:
    return Request(
        "k", "generate", (Message("user", parts or (Text("hi"),)),), prompt, continuation, generation, 4_000_000_000
    )


def chat(message: Any, **choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]}).encode()


@pytest.mark.parametrize("encode", [partial(encode_chat, media=MediaText()), encode_completion])
def test_every_sampling_setting_is_sent(encode: Any) -> None:
    body = json.loads(encode("m", request(), {}))
    sampling = {key: value for key, value in body.items() if key not in ("model", "messages", "prompt")}
    assert sampling == {
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "repetition_penalty": 1.1,
        "seed": 4_000_000_000,
        "stop": ["\n", "Q:", "A:", "B:", "C:"],
    }


def test_what_is_not_set_is_not_sent() -> None:
    body = json.loads(encode_chat("m", request(generation=Generation()), {}, MediaText()))
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "seed"}


@given(st.text(), st.text())
def test_text_arrives_as_it_was_or_is_refused(first: str, second: str) -> None:
    asked = request(Text(first), Text(second))
    try:
        (first + second).encode()
    except UnicodeEncodeError:
        with pytest.raises(UnsupportedError):
            encode_chat("m", asked, {}, MediaText())
        return
    assert json.loads(encode_chat("m", asked, {}, MediaText()))["messages"] == [
        {"role": "user", "content": first + second}
    ]


def test_media_travel_as_the_bytes_they_are() -> None:
    wav = b"RIFF\0\0\0\0WAVEfmt "
    body = json.loads(
        encode_chat("m", request(from_bytes(PNG), Text("what?"), from_bytes(wav)), {"user": "me"}, MediaText())
    )
    image, text, audio = body["messages"][0]["content"]
    kind, _, data = image["image_url"]["url"].partition(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", PNG)
    assert text == {"type": "text", "text": "what?"}
    assert base64.b64decode(audio["input_audio"]["data"]) == wav
    assert audio["input_audio"]["format"] == "wav"
    assert body["user"] == "me"


def test_audio_the_api_has_no_name_for_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="audio/flac"):
        encode_chat("m", request(from_bytes(b"fLaC" + bytes(20))), {}, MediaText())


def test_media_cannot_go_through_the_completions_api() -> None:
    with pytest.raises(UnsupportedError, match="api: chat"):
        encode_completion("m", request(from_bytes(PNG), prompt=None), {})


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


@pytest.mark.parametrize(("prompt", "continuation"), [(None, " a"), ("", " a"), ("  ", " a"), ("p", ""), ("p", None)])
def test_scoring_needs_a_prompt_and_a_continuation(prompt: str | None, continuation: str | None) -> None:
    with pytest.raises(UnsupportedError):
        encode_scoring("m", request(prompt=prompt, continuation=continuation), {})
