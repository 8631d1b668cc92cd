"""vLLM's own server behind the openai backend gives what its engine gives in the worker, and what transformers gives."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from assay_api.evaljob import Model
from assay_runner.backends.base import ModelContext, Request, Response
from assay_runner.backends.openai_plan import preflight
from assay_runner.backends.registry import open_backend
from support.engine import local_context
from support.models import CHAT_TEMPLATE, ask, make_text_model, score, started_answers
from support.vllm_server import vllm_server

pytest.importorskip("vllm", reason="vLLM is not installed here (see make vllm)")
QUESTIONS = ("the cat", "a question about the mat", "猫 is", "yes")
PAIRS = [("the cat", " sat on the mat"), ("the cat", " looked at the other cat"), ("yes", " no yes no")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_model(tmp_path_factory.mktemp("served") / "model", chat_template=CHAT_TEMPLATE, heads=1)


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with vllm_server(str(model), "tiny", "--kv-cache-memory-bytes", str(64 << 20)) as address:
        yield address


def through(url: str, requests: Sequence[Request], **args: Any) -> dict[str, Response]:
    context = ModelContext("tiny", None, args, {}, 0, url=url)
    found = asyncio.run(started_answers(open_backend("openai", context), [requests]))
    return {response.key: response for response in found}


def test_answers_are_those_of_transformers(url: str, model: Path) -> None:
    requests = [ask(text, text, max_new_tokens=12) for text in QUESTIONS]
    context = local_context(str(model), {"device": "cpu"})
    there = {one.key: one for one in asyncio.run(started_answers(open_backend("transformers", context), [requests]))}
    for stream in (False, True):
        here = through(url, requests, stream=stream)
        for key, response in here.items():
            assert response.error is None
            # Of a character that is not finished, vLLM writes nothing.
            assert response.text == (there[key].text or "").rstrip("�")
            assert (response.tokens_in, response.tokens_out) == (there[key].tokens_in, there[key].tokens_out)
            assert (response.first_token is not None) == stream


def test_log_likelihoods_are_those_of_transformers(url: str, model: Path) -> None:
    requests = [score(str(place), *pair) for place, pair in enumerate(PAIRS)]
    context = local_context(str(model), {"device": "cpu"})
    there = {one.key: one for one in asyncio.run(started_answers(open_backend("transformers", context), [requests]))}
    here = through(url, requests, loglikelihood=True)
    for key, response in here.items():
        assert response.error is None
        assert response.logprob == pytest.approx(there[key].logprob, abs=1e-3)
        assert (response.greedy, response.tokens) == (there[key].greedy, there[key].tokens)


def test_the_preflight_finds_the_model_and_its_log_likelihoods(url: str) -> None:
    wanted = {"backend": "openai", "name": "tiny", "endpoint": {"url": url}, "args": {"loglikelihood": True}}
    preflight(Model.model_validate(wanted), None)


def test_an_over_long_prompt_is_told_apart(url: str) -> None:
    found = through(url, [ask("long", "the cat " * 400), ask("short", "the cat")])
    assert found["long"].error is not None and found["long"].error.kind == "ContextTooLong"
    assert found["short"].error is None


def test_log_probabilities_of_generated_tokens_come_with_their_rivals(url: str) -> None:
    found = through(url, [ask("k", "the cat", max_new_tokens=5)], logprobs=3)["k"]
    assert found.logprobs is not None and found.tokens_out is not None
    assert len(found.logprobs.tokens) == len(found.logprobs.logprobs) == len(found.logprobs.top) == found.tokens_out
    for value, rivals in zip(found.logprobs.logprobs, found.logprobs.top, strict=True):
        assert value <= 0 and len(rivals) == 3 and value == max(rival for _, rival in rivals)
