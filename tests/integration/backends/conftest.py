"""Models and backends that the tests of this folder share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay_runner.backends.base import Backend
from assay_runner.backends.registry import open_backend
from support.clients import through_openai
from support.endpoint import TestEndpoint
from support.engine import EngineAnswers, local_context
from support.models import CHAT_TEMPLATE, make_text_model


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


@pytest.fixture(params=["transformers", "openai"])
def any_backend(request: pytest.FixtureRequest, text_model: Path, text_endpoint: TestEndpoint) -> Callable[[], Backend]:
    """Opens the tiny text model through each of the backends."""
    if request.param == "transformers":
        return lambda: open_backend("transformers", local_context(str(text_model), {"device": "cpu"}))
    return lambda: through_openai(text_endpoint, args={"loglikelihood": True})
