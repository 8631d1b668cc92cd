"""Plans for engines that need not be installed to be planned: what counts is their release and their arguments."""

import re
from pathlib import Path
from typing import Any

import pytest

from assay_api.errors import SpecError, Unfit
from assay_api.evaljob import Model
from assay_runner.backends import sglang_plan, vllm_plan
from assay_runner.backends.base import Description, ModelContext
from assay_runner.backends.engine_plan import verify_engine

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"


def release(folder: Path, name: str, version: str) -> None:
    facts = folder / f"{name}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where releases of engines are found."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(vllm_plan, "version", lambda name: (_ for _ in ()).throw(vllm_plan.PackageNotFoundError))
    release(tmp_path, "vllm", "0.99.1")
    release(tmp_path, "sglang", "0.98")
    return tmp_path


def planned(backend: str = "vllm", **args: Any) -> Description:
    model = Model.model_validate({"backend": backend, "name": str(VLM), "args": args})
    return (vllm_plan if backend == "vllm" else sglang_plan).describe(model, 2)


def test_release_arguments_weights_and_decoders_are_pinned(engines: Path) -> None:
    description = planned(tensor_parallel_size=2, max_model_len=4096, video_frames=4, gpu_memory_utilization=0.5)
    pins = description.pins
    assert (pins["vllm"], pins["device"], pins["dtype"], pins["tensor_parallel_size"]) == (
        "0.99.1",
        "cuda",
        "bfloat16",
        2,
    )
    assert (pins["max_model_len"], pins["max_num_seqs"], pins["video"]) == (4096, 256, {"frames": 4})
    assert pins["weights"].startswith("sha256:") and "av" in pins
    assert "gpu_memory_utilization" not in pins
    assert (description.determinism, description.loglikelihood) == ("best-effort", True)
    assert description.media == {"image", "audio", "video"}


def test_a_build_for_cpus_is_planned_for_cpus(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_plan, "version", lambda name: "0.99.1")
    pins = planned().pins
    assert (pins["device"], pins["dtype"]) == ("cpu", "float32")
    assert "cpu" in pins


@pytest.mark.parametrize(
    ("backend", "switch"), [("vllm", "batch_invariant"), ("sglang", "enable_deterministic_inference")]
)
def test_the_same_bits_are_promised_on_a_named_gpu_alone(engines: Path, backend: str, switch: str) -> None:
    with pytest.raises(SpecError, match=rf"args\.{switch}: .*none is named; add args\.gpu"):
        planned(backend, **{switch: True})
    exact = planned(backend, gpu="NVIDIA H100 80GB HBM3", **{switch: True})
    assert exact.determinism == "exact"
    assert exact.pins["gpu"] == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    ("backend", "args", "field"),
    [
        ("vllm", {"tensor_parallel": 2}, "tensor_parallel"),
        ("vllm", {"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ("vllm", {"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ("vllm", {"limit_mm_per_prompt": {"smell": 1}}, "limit_mm_per_prompt"),
        ("vllm", {"limit_mm_per_prompt": {"image": True}}, "limit_mm_per_prompt"),
        ("vllm", {"mm_processor_kwargs": {"a": [1]}}, "mm_processor_kwargs"),
        ("vllm", {"load_format": "pt"}, "load_format"),
        ("vllm", {"quantization": ""}, "quantization"),
        ("vllm", {"max_model_len": 4096.0}, "max_model_len"),
        ("sglang", {"tp_size": "2"}, "tp_size"),
        ("sglang", {"tensor_parallel_size": 2}, "tensor_parallel_size"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(engines: Path, backend: str, args: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.model\.args\.{field}: "):
        planned(backend, **args)


def test_a_worker_refuses_another_release_and_another_gpu(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay_runner.backends.engine_plan._has_cuda", lambda: True)
    monkeypatch.setattr("assay_runner.backends.engine_plan._gpu", lambda: "NVIDIA L4")
    pins = planned(gpu="NVIDIA H100 80GB HBM3").pins
    for changed, said in (
        ({}, "gpu: the run was planned with NVIDIA H100"),
        ({"vllm": "0.1"}, "vllm: the run was planned with 0.1"),
    ):
        context = ModelContext(name=str(VLM), revision=None, args={}, pins=pins | changed, retries=0)
        with pytest.raises(Unfit, match=re.escape(said)):
            verify_engine(vllm_plan.KIND, context)
