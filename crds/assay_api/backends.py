"""The names of backends, apart from the manifest's models: a worker knows its backend from the plan and needs no manifest."""

from __future__ import annotations

from enum import StrEnum


class BackendName(StrEnum):
    """The engines a model can be run with."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    SGLANG = "sglang"
    OPENAI = "openai"
