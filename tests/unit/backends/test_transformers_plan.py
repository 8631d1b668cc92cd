"""Pins of models that run here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assay_api.errors import AssayError, SpecError, Unfit
from assay_api.evaljob import Model
from assay_runner.backends import transformers_plan
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
    assert one.media == {"image", "video"}


def test_arguments_are_pinned() -> None:
    pins = describe(model(VLM, device="cpu", dtype="bfloat16", threads=2, batch_size=4, attn="eager"), 1).pins
    assert (pins["dtype"], pins["threads"], pins["batch_size"], pins["attn"]) == ("bfloat16", 2, 4, "eager")


def test_a_gpu_is_planned_without_one_and_promises_less() -> None:
    description = describe(model(VLM, device="cuda"), 1)
    assert (description.pins["device"], description.pins["dtype"]) == ("cuda", "bfloat16")
    assert "cpu" not in description.pins
    assert description.determinism == "best-effort"


def test_a_batch_size_that_is_to_be_found_promises_less() -> None:
    description = describe(model(VLM, device="cpu", batch_size="auto"), 1)
    assert (description.pins["batch_size"], description.batch_size) == ("auto", 64)
    assert description.determinism == "best-effort"
    assert describe(model(VLM, device="cuda"), 1).pins["batch_size"] == "auto"


def of_type(folder: Path, model_type: str) -> Path:
    """A folder that looks like a model of a type, as far as planning looks."""
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("model_type", "media", "scores"),
    [
        ("llama", set(), True),
        ("t5", set(), False),
        ("whisper", {"audio"}, False),
        ("wav2vec2", {"audio"}, False),
        ("data2vec-audio", {"audio"}, False),
        ("parakeet_ctc", {"audio"}, False),
        ("qwen2_audio", {"audio"}, True),
        ("llava", {"image", "video"}, True),
        ("gemma3n", {"audio", "image", "video"}, True),
    ],
)
def test_the_media_that_a_model_takes_are_read_off_its_processor(
    tmp_path: Path, model_type: str, media: set[str], scores: bool
) -> None:
    description = describe(model(of_type(tmp_path / "model", model_type), device="cpu"), 1)
    assert description.media == media
    assert description.loglikelihood is scores
    assert ("av" in description.pins) is bool(media)


def test_a_model_that_hears_but_does_not_transcribe_is_refused(tmp_path: Path) -> None:
    folder = of_type(tmp_path / "model", "wav2vec2")
    (folder / "config.json").write_text(
        '{"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForSequenceClassification"]}'
    )
    with pytest.raises(SpecError, match="do not answer"):
        describe(model(folder, device="cpu"), 1)


def test_a_processor_that_needs_torchvision_is_pinned_with_it_or_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = of_type(tmp_path / "model", "qwen2_vl")
    monkeypatch.setattr(transformers_plan, "_torchvision", lambda: None)
    with pytest.raises(SpecError, match="torchvision"):
        describe(model(folder, device="cpu"), 1)
    monkeypatch.setattr(transformers_plan, "_torchvision", lambda: "0.28.0")
    description = describe(model(folder, device="cpu"), 1)
    assert description.media == {"image", "video"}
    assert (description.pins["torchvision"], description.pins["images"]) == ("0.28.0", "pillow")
    monkeypatch.setattr(transformers_plan, "_torchvision", lambda: "0.29.0")
    with pytest.raises(Unfit, match=r"model\.pins\.torchvision: .* 0\.28\.0, here is 0\.29\.0"):
        verify(planned(VLM, torchvision="0.28.0"))


def test_how_videos_are_shown_is_pinned_with_what_decodes_them() -> None:
    pins = describe(model(VLM, device="cpu", video_frames=4), 1).pins
    assert pins["video"] == {"frames": 4}
    assert {"av", "pillow"} <= pins.keys()
    with pytest.raises(Unfit, match=r"model\.pins\.av"):
        verify(planned(VLM, av="1.0"))


@pytest.mark.parametrize(
    ("model_type", "args"),
    [("llama", {"video_frames": 4}), ("whisper", {"video_fps": 1}), ("llama", {"language": "en"})],
)
def test_an_argument_that_the_model_has_no_use_for_is_refused(
    tmp_path: Path, model_type: str, args: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=rf"spec\.model\.args\.{next(iter(args))}"):
        describe(model(of_type(tmp_path / "model", model_type), device="cpu", **args), 1)


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
