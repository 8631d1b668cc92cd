"""Models and backends that the tests of this folder share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay_runner.backends.base import Backend
from assay_runner.backends.registry import open_backend
from support.clients import through_openai
from support.endpoint import TestEndpoint
from support.engine import EngineAnswers, local_context
from support.kept import Subject, kept
from support.models import CHAT_TEMPLATE, make_text_model
from support.sglang_stand_in import STAND_IN_GPU, stand_in


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text model with random weights and a chat template."""
    return make_text_model(tmp_path_factory.mktemp("text") / "model", chat_template=CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a chat template."""
    return make_text_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def text_endpoint(text_model: Path) -> Iterator[TestEndpoint]:
    """A server that answers with the tiny text model."""
    engine = EngineAnswers(str(text_model))
    with TestEndpoint(answer=engine, on_close=engine.close) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def vllm_text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The tiny text model in vLLM, started once; its attention on CPUs needs heads of 32."""
    pytest.importorskip("vllm", reason="vLLM is not installed here (see make vllm)")
    folder = make_text_model(tmp_path_factory.mktemp("vllm") / "model", chat_template=CHAT_TEMPLATE, heads=1)
    with kept("vllm", folder) as subject:
        yield subject


@pytest.fixture
def sglang_text(text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """The tiny text model behind a stand-in for SGLang's engine, which needs a GPU."""
    stand_in(tmp_path, monkeypatch)
    args = {"dtype": "float32", "enable_deterministic_inference": True, "gpu": STAND_IN_GPU}
    with asyncio.Runner() as loop:
        yield Subject(
            "sglang",
            str(text_model),
            lambda: open_backend("sglang", local_context(str(text_model), args, "sglang")),
            loop,
        )


@pytest.fixture(params=["transformers", "openai", "vllm", "sglang"])
def any_backend(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The tiny text model through each of the backends."""
    if request.param in ("vllm", "sglang"):
        yield request.getfixturevalue(f"{request.param}_text")
        return
    fixture = {"transformers": "text_model", "openai": "text_endpoint"}[request.param]
    used: Any = request.getfixturevalue(fixture)

    def opened() -> Backend:
        if request.param == "openai":
            return through_openai(used, args={"loglikelihood": True})
        return open_backend("transformers", local_context(str(used), {"device": "cpu"}))

    with asyncio.Runner() as loop:
        yield Subject(request.param, str(used), opened, loop)
