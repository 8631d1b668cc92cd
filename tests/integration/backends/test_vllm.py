"""What is vLLM's own: its agreement with the plain computation, media, and its engine's life and death."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import easy_vqa
import pytest
import soundfile
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay_api.errors import SpecError, Unfit
from assay_runner.backends.base import BackendFailed, Batch, Generation, Message, Request, Response, Text
from assay_runner.backends.registry import open_backend
from assay_runner.media import Media, from_bytes, from_file
from support.engine import local_context
from support.kept import Subject, kept
from support.models import ask, score, started_answers

pytest.importorskip("vllm", reason="vLLM is not installed here (see make vllm)")
VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"
PAIRS = [("the cat", " sat on the mat"), ("猫 is", " 是的"), ("", "the cat"), ("a", "b")]


def direct_score(folder: str, context: str, continuation: str) -> tuple[float, bool, int]:
    """Σ ln p over the continuation, in the plainest way."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(context + continuation, add_special_tokens=False)
    start = len(tokenizer.encode(context, add_special_tokens=False))
    if not context:
        ids, start = [tokenizer.bos_token_id, *ids], 1
    with torch.inference_mode():
        likely = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    places = range(start, len(ids))
    greedy = all(int(likely[place - 1].argmax()) == ids[place] for place in places)
    return sum(float(likely[place - 1, ids[place]]) for place in places), greedy, len(places)


def test_log_likelihoods_agree_with_a_direct_computation(vllm_text: Subject) -> None:
    requests = [score(str(place), *pair) for place, pair in enumerate(PAIRS)]
    found = {response.key: response for response in vllm_text.wait(started_answers(vllm_text.open(), [requests]))}
    for place, pair in enumerate(PAIRS):
        total, greedy, tokens = direct_score(vllm_text.model, *pair)
        assert found[str(place)].logprob == pytest.approx(total, abs=1e-3)
        assert (found[str(place)].greedy, found[str(place)].tokens) == (greedy, tokens)


def test_answers_are_those_of_transformers(vllm_text: Subject) -> None:
    requests = [ask(text, text, max_new_tokens=12) for text in ("the cat", "a question about the mat", "猫", "yes")]
    here = vllm_text.wait(started_answers(vllm_text.open(), [requests]))
    context = local_context(vllm_text.model, {"device": "cpu"})
    there = vllm_text.wait(started_answers(open_backend("transformers", context), [requests]))

    def said(responses: Sequence[Response]) -> dict[str, Any]:
        # Of a character that is not finished, vLLM writes nothing.
        return {one.key: ((one.text or "").rstrip("\ufffd"), one.tokens_in, one.finish_reason) for one in responses}

    assert said(here) == said(there)


def test_a_temperature_that_vllm_would_change_is_refused_by_name(vllm_text: Subject) -> None:
    [response] = vllm_text.wait(started_answers(vllm_text.open(), [[ask("k", "the cat", temperature=0.005)]]))
    assert response.error is not None and "no temperature between 0 and 0.01" in response.error.message


def test_what_a_consumer_no_longer_wants_leaves_the_engine(vllm_text: Subject) -> None:
    backend: Any = vllm_text.open()

    async def scenario() -> int:
        await backend.start()

        async def feed() -> AsyncIterator[Batch]:
            for number in range(1000):
                yield (ask(str(number), "the cat", max_new_tokens=200),)

        stream = backend.stream(feed())
        await anext(aiter(stream))
        await stream.aclose()
        return int(backend.inner._engine._engine.get_num_unfinished_requests())

    assert vllm_text.wait(scenario()) == 0


def about(key: str, question: str, *media: Media) -> Request:
    messages = (Message("user", (*media, Text(question))),)
    return Request(key, "generate", messages, None, None, Generation(max_new_tokens=8), 0)


@pytest.fixture(scope="module")
def vllm_images() -> Iterator[Subject]:
    """The example's vision-language model in vLLM. The last test of this file ends it."""
    with kept("vllm", VLM) as subject:
        yield subject


def test_pictures_are_seen_as_transformers_sees_them(vllm_images: Subject) -> None:
    texts, targets, images = easy_vqa.get_test_questions()
    paths = easy_vqa.get_test_image_paths()
    chosen = range(0, 9600, 150)
    requests = [about(str(place), texts[place], from_file(Path(paths[images[place]]))) for place in chosen]
    here = {response.key: response for response in vllm_images.wait(started_answers(vllm_images.open(), [requests]))}
    context = local_context(str(VLM), {"device": "cpu"})
    there = vllm_images.wait(started_answers(open_backend("transformers", context), [requests]))
    assert {key: (one.text, one.tokens_in) for key, one in here.items()} == {
        one.key: (one.text, one.tokens_in) for one in there
    }
    assert sum(here[str(place)].text == targets[place] for place in chosen) >= 0.9 * len(chosen)


def test_a_broken_picture_and_what_the_model_does_not_take_are_error_rows(vllm_images: Subject) -> None:
    data = Path(easy_vqa.get_test_image_paths()[0]).read_bytes()
    written = io.BytesIO()
    soundfile.write(written, [0.0] * 1600, 16_000, format="WAV")
    sound = from_bytes(written.getvalue())
    long = about("long", "is it red? " * 100, from_bytes(data))
    requests = [about("good", "is there a circle?", from_bytes(data)), about("cut", "x", from_bytes(data[:100])), long]
    found = vllm_images.wait(started_answers(vllm_images.open(), [[*requests, about("sound", "what is said?", sound)]]))
    errors = {response.key: response.error.kind if response.error else None for response in found}
    assert errors.pop("good") is None
    assert errors == {"cut": "MediaError", "long": "ContextTooLong", "sound": "Unsupported"}


def test_a_plan_for_another_machine_or_model_is_refused_before_the_engine_starts() -> None:
    context = local_context(str(VLM), {}, "vllm")

    async def start(**pins: Any) -> None:
        await open_backend("vllm", replace(context, pins=context.pins | pins)).start()

    with pytest.raises(Unfit, match=r"model\.pins\.vllm: the run was planned with 0\.1, here is"):
        asyncio.run(start(vllm="0.1"))
    with pytest.raises(SpecError, match=r"model\.pins\.weights"):
        asyncio.run(start(weights="sha256:0"))


def test_when_the_engine_dies_the_backend_says_so_and_leaves_nothing_behind(vllm_images: Subject) -> None:
    backend: Any = vllm_images.open()

    async def scenario() -> None:
        await backend.start()
        [core] = backend.inner._engine._own
        picture = from_file(Path(easy_vqa.get_test_image_paths()[0]))

        async def feed() -> AsyncIterator[Batch]:
            for number in range(10_000):
                if number == 20:
                    core.kill()
                yield (about(str(number), "is there a circle?", picture),)

        with pytest.raises(BackendFailed, match="The engine has ended"):
            async for _ in backend.stream(feed()):
                pass
        await backend.end()
        await backend.end()
        assert not core.is_alive()

    vllm_images.wait(scenario())
