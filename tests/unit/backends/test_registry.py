"""What is found wrong when a run is planned, before anything is started."""

import subprocess
import sys
from typing import Any

import pytest

from assay_api.errors import SpecError
from assay_api.evaljob import Model
from assay_runner.backends.base import ModelContext
from assay_runner.backends.registry import describe, open_backend


def endpoint(args: dict[str, Any] | None = None, url: str = "http://here/v1") -> Model:
    return Model.model_validate({"backend": "openai", "name": "m", "args": args or {}, "endpoint": {"url": url}})


def local(name: str, backend: str = "transformers", **args: Any) -> Model:
    return Model.model_validate({"backend": backend, "name": name, "args": args})


def context(name: str = "m") -> ModelContext:
    return ModelContext(name=name, revision=None, args={}, pins={}, retries=0)


def test_a_backend_of_another_version_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpecError, match="backend tgi is not in this version of Assay; use openai or sglang or"):
        open_backend("tgi", context())


def test_an_unknown_argument_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        SpecError, match=r"spec\.model\.args\.max_retries.*api, dialect, extra_body, loglikelihood, logprobs"
    ):
        describe(endpoint({"max_retries": 3}), 1)
    with pytest.raises(SpecError, match=r"spec\.model\.args\.bach_size.*attn, batch_size, device"):
        describe(local("m", bach_size=3), 1)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (endpoint({"api": "responses"}), "api"),
        (endpoint({"loglikelihood": "yes"}), "loglikelihood"),
        (endpoint({"extra_body": {"temperature": 1}}), "extra_body"),
        (endpoint({"extra_body": [1]}), "extra_body"),
        (endpoint({"extra_body": {"x": float("nan")}}), "extra_body"),
        (local("m", batch_size=0), "batch_size"),
        (local("m", batch_size=True), "batch_size"),
        (local("m", threads="2"), "threads"),
        (local("m", dtype="int8"), "dtype"),
        (local("m", device="tpu"), "device"),
        (local("m", trust_remote_code=1), "trust_remote_code"),
    ],
)
def test_a_wrong_value_is_refused_by_name(model: Model, field: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.model\.args\.{field}: the value is not allowed; it should be"):
        describe(model, 1)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@here/v1", "http:///v1", "http://here/v1?a=b", "http://here:port/v1"]
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_its_secrets(url: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.model\.endpoint\.url") as refusal:
        describe(endpoint(url=url), 1)
    assert "hunter2" not in str(refusal.value)


def test_what_is_pinned_of_an_endpoint_says_nothing_of_its_address() -> None:
    one, other = describe(endpoint(url="http://here/v1"), 1), describe(endpoint(url="https://there:99/v1/"), 4)
    assert one == other
    assert (one.batch_size, one.determinism, one.loglikelihood) == (32, "best-effort", False)
    assert describe(endpoint({"loglikelihood": True}), 1).loglikelihood


def test_media_go_to_the_chat_api_only() -> None:
    assert describe(endpoint(), 1).media == {"image", "audio", "video"}
    assert describe(endpoint({"api": "completions"}), 1).media == frozenset()


@pytest.mark.parametrize(
    ("module", "name"),
    [("httptools", "openai"), ("torch", "transformers"), ("vllm", "vllm"), ("sglang", "sglang")],
)
def test_a_missing_extra_is_named(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SpecError, match=rf"pip install 'assay\[{name}\]'"):
        open_backend(name, context())


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    unusable = ModelContext(
        name="m", revision=None, args={}, pins={}, retries=0, url="http://here/v1", api_key="sk one"
    )
    with pytest.raises(SpecError, match="API key holds spaces") as refusal:
        open_backend("openai", unusable)
    assert "sk one" not in str(refusal.value)


def test_an_endpoint_run_imports_no_engine_and_planning_imports_no_client() -> None:
    code = (
        "import sys; from assay_runner.backends import registry; heavy = {'torch', 'transformers', 'httptools', 'PIL'};"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys();"
        "from assay_runner.backends.base import ModelContext;"
        "registry.open_backend('openai', ModelContext('m', None, {}, {}, 0, url='http://here/v1'));"
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
