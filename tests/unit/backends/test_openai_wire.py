"""The wire format."""

import base64
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import Generation, Message, Request, Text
from assay_runner.backends.media_text import MediaText
from assay_runner.backends.openai_wire import (
    Dialect,
    UnsupportedError,
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


@pytest.mark.parametrize("encode", [partial(encode_chat, media=MediaText()), encode_completion])
def test_a_server_is_spoken_to_in_its_dialect(encode: Any) -> None:
    body = json.loads(encode("m", request(), {}, dialect=Dialect("max_completion_tokens", "repeat_penalty", 2, True)))
    assert not {"max_tokens", "repetition_penalty"} & body.keys()
    assert (body["max_completion_tokens"], body["repeat_penalty"]) == (7, 1.1)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    asked = (body["logprobs"], body.get("top_logprobs"))
    assert asked == ((True, 2) if "messages" in body else (2, None))


@pytest.mark.parametrize(("prompt", "continuation"), [(None, " a"), ("", " a"), ("  ", " a"), ("p", ""), ("p", None)])
def test_scoring_needs_a_prompt_and_a_continuation(prompt: str | None, continuation: str | None) -> None:
    with pytest.raises(UnsupportedError):
        encode_scoring("m", request(prompt=prompt, continuation=continuation), {})
