"""A real vision-language model answers real questions, in this process and through an endpoint."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import easy_vqa
import pytest

from assay_runner.backends.base import Backend, Generation, Message, Request, Response, Text
from assay_runner.backends.registry import open_backend
from assay_runner.media import from_bytes, from_file
from support.clients import through_openai
from support.endpoint import TestEndpoint
from support.engine import EngineAnswers, local_context
from support.models import answers

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"
COUNT = 320


def question(key: str, text: str, image: Path, *, broken: bool = False) -> Request:
    medium = from_bytes(image.read_bytes()[:100]) if broken else from_file(image)
    messages = (Message("user", (medium, Text(text))),)
    return Request(key, "generate", messages, None, None, Generation(max_new_tokens=8), 0)


@pytest.fixture(scope="module")
def asked() -> tuple[list[Request], list[str]]:
    """Every 30th test question, and the right answers."""
    texts, targets, images = easy_vqa.get_test_questions()
    paths = easy_vqa.get_test_image_paths()
    chosen = range(0, 30 * COUNT, 30)
    requests = [question(str(place), texts[place], Path(paths[images[place]])) for place in chosen]
    return requests, [targets[place] for place in chosen]


def run(backend: Backend, batches: Sequence[Sequence[Request]]) -> dict[str, Response]:
    return {response.key: response for response in asyncio.run(started(backend, batches))}


async def started(backend: Backend, batches: Sequence[Sequence[Request]]) -> list[Response]:
    try:
        await backend.start()
        return await answers(backend, batches)
    finally:
        await backend.close()


def in_batches(requests: Sequence[Request], size: int = 16) -> list[Sequence[Request]]:
    return [requests[start : start + size] for start in range(0, len(requests), size)]


def accuracy(found: dict[str, Response], asked: tuple[list[Request], list[str]]) -> float:
    assert all(response.error is None for response in found.values())
    return sum(found[request.key].text == target for request, target in zip(*asked, strict=True)) / len(asked[1])


def test_the_model_is_right_in_this_process_and_the_same_twice(asked: tuple[list[Request], list[str]]) -> None:
    first = run(open_backend("transformers", local_context(str(VLM), {"device": "cpu"})), in_batches(asked[0]))
    second = run(open_backend("transformers", local_context(str(VLM), {"device": "cpu"})), in_batches(asked[0]))
    assert accuracy(first, asked) >= 0.99
    assert {key: response.text for key, response in first.items()} == {key: r.text for key, r in second.items()}
    assert len({response.text for response in first.values()}) > 10


def test_the_model_is_right_through_an_endpoint(asked: tuple[list[Request], list[str]]) -> None:
    engine = EngineAnswers(str(VLM))

    async def scenario(endpoint: TestEndpoint) -> list[Response]:
        return await started(through_openai(endpoint), in_batches(asked[0], 1))

    with TestEndpoint(answer=engine, on_close=engine.close) as endpoint:
        found = {response.key: response for response in asyncio.run(scenario(endpoint))}
    assert accuracy(found, asked) >= 0.99


def test_a_picture_that_cannot_be_decoded_is_its_own_error_and_no_other_answer_moves() -> None:
    texts, _, images = easy_vqa.get_test_questions()
    paths = easy_vqa.get_test_image_paths()
    batch = [question(str(place), texts[place], Path(paths[images[place]]), broken=place == 3) for place in range(8)]
    text_only = Request(
        "text", "generate", (Message("user", (Text("hello"),)),), "hello", None, Generation(max_new_tokens=4), 0
    )
    runs = [
        run(open_backend("transformers", local_context(str(VLM), {"device": "cpu"})), [[*batch, text_only]])
        for _ in range(2)
    ]
    for found in runs:
        assert found["3"].error is not None and found["3"].error.kind == "MediaError"
        assert all(found[str(place)].text for place in range(8) if place != 3)
        assert found["text"].error is None
    assert [runs[0][request.key].text for request in batch] == [runs[1][request.key].text for request in batch]
