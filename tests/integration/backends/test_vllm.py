"""What is vLLM's own: its engine's life and death, its agreement with the plain computation, media."""

from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here (see make vllm)")
VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"
