"""Pins of models that run here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assay_api.errors import AssayError, SpecError, Unfit
from assay_api.evaljob import Model
from assay_runner.backends.base import ModelContext
from assay_runner.backends.registry import describe
from assay_runner.backends.transformers_plan import verify

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"


def model(name: Any, **args: Any) -> Model:
    return Model.model_validate({"backend": "transformers", "name": str(name), "args": args})


def planned(folder: Path, **pins: Any) -> ModelContext:
    description = describe(model(folder, device="cpu"), 2)
    return ModelContext(name=str(folder), revision=None, args={}, pins=description.pins | pins, retries=0)


def test_a_plan_on_a_cpu_is_exact_and_independent_of_the_machines_cores() -> None:
    one, other = describe(model(VLM, device="cpu"), 1), describe(model(VLM, device="cpu"), 64)
    assert one == other
    assert one.determinism == "exact"
    assert (one.pins["threads"], one.pins["dtype"], one.pins["batch_size"], one.batch_size) == (1, "float32", 16, 16)
    assert torch.backends.cpu.get_cpu_capability() in one.pins["cpu"]
    assert one.media == {"image"}


def test_arguments_are_pinned() -> None:
    pins = describe(model(VLM, device="cpu", dtype="bfloat16", threads=2, batch_size=4, attn="eager"), 1).pins
    assert (pins["dtype"], pins["threads"], pins["batch_size"], pins["attn"]) == ("bfloat16", 2, 4, "eager")


def test_a_gpu_is_planned_without_one_and_promises_less() -> None:
    description = describe(model(VLM, device="cuda"), 1)
    assert (description.pins["device"], description.pins["dtype"]) == ("cuda", "bfloat16")
    assert "cpu" not in description.pins
    assert description.determinism == "best-effort"


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(SpecError, match="safetensors"):
        describe(model(tmp_path), 1)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nothing", "s3://bucket/model", "a/b/c"])
def test_a_model_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.model\.name"):
        describe(model(name), 1)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SpecError, match="vit"):
        describe(model(tmp_path), 1)


def test_an_unknown_architecture_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nobody-knows"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SpecError, match=r"nobody-knows.*trust_remote_code"):
        describe(model(tmp_path), 1)


@pytest.mark.parametrize(
    ("pin", "error", "code"),
    [("torch", Unfit, 1), ("transformers", Unfit, 1), ("cpu", Unfit, 1), ("weights", SpecError, 64)],
)
def test_a_worker_refuses_a_pin_that_does_not_hold_here(pin: str, error: type[AssayError], code: int) -> None:
    """On another machine the job may go on, so a machine that does not fit is no verdict; another model is."""
    with pytest.raises(
        error, match=rf"model\.pins\.{pin}: the run was planned with something else, here is"
    ) as refused:
        verify(planned(VLM, **{pin: "something else"}))
    assert refused.value.exit_code == code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_worker_without_a_gpu_refuses_a_plan_for_one() -> None:
    context = planned(VLM)
    with pytest.raises(Unfit, match="no CUDA device"):
        verify(replace(context, pins=context.pins | {"device": "cuda"}))


def test_a_worker_with_what_was_planned_finds_the_model() -> None:
    assert verify(planned(VLM)).name == str(VLM)
