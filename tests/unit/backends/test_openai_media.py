"""What a server is sent of media, and what becomes of those that cannot be sent."""

import asyncio
import base64

import pytest

from assay_api.errors import SpecError, Unfit
from assay_api.evaljob import Model
from assay_runner.backends.base import Generation, Message, Request, Text
from assay_runner.backends.media_arguments import frames_sampling
from assay_runner.backends.openai_media import Conversions
from assay_runner.backends.openai_plan import describe
from assay_runner.decode.sampling import Sampling
from assay_runner.media import Media, from_bytes
from support.clients import through_openai
from support.documents import png
from support.endpoint import TestEndpoint
from support.recordings import tone, video


def request(key, *media):
    message = Message("user", (Text("before"), *media, Text("after")))
    return Request(key, "generate", (message,), None, None, Generation(8), 0)


def answers(requests, **changes):
    """Responses by key, and the bodies that the server got."""

    async def batches():
        yield tuple(requests)

    async def scenario():
        with TestEndpoint() as endpoint:
            backend = through_openai(endpoint, **changes)
            await backend.start()
            try:
                return {one.key: one async for one in backend.stream(batches())}, endpoint.bodies
            finally:
                await backend.close()

    return asyncio.run(scenario())


def sent(body):
    return [part["type"] for part in body["messages"][0]["content"]]


def test_pictures_and_videos_go_as_the_bytes_they_are():
    film = from_bytes(video())
    _, [body] = answers([request("k", from_bytes(png(1)), film)])
    assert sent(body) == ["text", "image_url", "video_url", "text"]
    url = body["messages"][0]["content"][2]["video_url"]["url"]
    assert base64.b64decode(url.removeprefix("data:video/mp4;base64,")) == film.read()


def test_sound_that_the_api_lacks_is_sent_as_wav():
    _, [body] = answers([request("k", from_bytes(tone("flac", "flac", 16000)))])
    [part] = [one for one in body["messages"][0]["content"] if one["type"] == "input_audio"]
    assert part["input_audio"]["format"] == "wav"
    assert base64.b64decode(part["input_audio"]["data"]).startswith(b"RIFF")


def test_videos_go_as_frames_in_their_place_when_the_plan_says_so():
    pins = describe(Model.model_validate(MODEL | {"args": {"video": "frames", "video_frames": 3}})).pins
    assert frames_sampling(pins) == Sampling(frames=3)
    found, [body] = answers([request("k", from_bytes(video()))], pins=pins)
    assert sent(body) == ["text", "image_url", "image_url", "image_url", "text"]
    assert found["k"].frames == ((0, 37, 74),) and found["k"].decoding > 0


def test_a_worker_that_decodes_otherwise_than_planned_refuses():
    pins = describe(Model.model_validate(MODEL | {"args": {"video": "frames"}})).pins
    with pytest.raises(Unfit, match=r"model\.pins\.av: the run was planned with 1\.0"):
        answers([], pins=pins | {"av": "1.0"})


def test_a_medium_that_cannot_be_converted_is_its_requests_error_alone():
    broken = Media("audio", "audio/flac", "0" * 64, 4, b"fLaC")
    found, bodies = answers([request("bad", broken), request("good", from_bytes(tone("flac", "flac", 8000)))])
    assert (found["bad"].error.kind, found["good"].error) == ("MediaError", None)
    assert "cannot be decoded" in found["bad"].error.message and len(bodies) == 1


def test_a_medium_that_takes_too_long_is_an_error_within_its_time():
    async def scenario():
        conversions = Conversions(1, Sampling(frames=75), seconds=0.01)
        try:
            return await conversions.ready((request("k", from_bytes(video(count=75))),))
        finally:
            conversions.close()

    [found] = asyncio.run(scenario())
    error = found.fault
    assert (error.kind, error.message) == ("MediaError", "decoding took longer than 0.01 s")


MODEL = {"backend": "openai", "name": "m", "endpoint": {"url": "http://localhost/v1"}}


def test_arguments_for_frames_are_refused_where_videos_go_as_they_are():
    with pytest.raises(SpecError, match=r"video_frames.*add video: frames, or remove it"):
        describe(Model.model_validate(MODEL | {"args": {"video_frames": 3}}))
