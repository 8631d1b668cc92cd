"""The digest by which a folder's weights are pinned."""

import shutil
from pathlib import Path

from assay_runner.backends.source import folder_digest

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"


def test_the_weights_digest_follows_content_not_place(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(VLM, copy)
    digest = folder_digest(VLM, 2)
    (copy / "README.md").write_text("not part of the model")
    assert folder_digest(copy, 1) == digest
    (copy / "generation_config.json").write_text("{}")
    assert folder_digest(copy, 1) != digest


def test_a_changed_weight_changes_the_digest(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(VLM, copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    assert folder_digest(copy, 1) != folder_digest(VLM, 1)
