"""lmms-eval 0.7.3 on the same questions against the same endpoint, from a virtual environment of its own (`make peer`)."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from benchmarks.process_tree import measured
from benchmarks.stub import IN_FLIGHT, Stub

PYTHON = Path(".venv-peer/bin/python")

_TASK = """
task: easy_vqa
dataset_path: parquet
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_messages: !function utils.messages
doc_to_target: answer
process_results: !function utils.process
generation_kwargs: {max_new_tokens: 8, temperature: 0, do_sample: false}
metric_list:
  - {metric: exact, aggregation: mean, higher_is_better: true}
"""
_CODE = """
def visual(doc):
    return [doc["image"].convert("RGB")]


def text(doc, kwargs=None):
    return doc["question"]


def messages(doc, kwargs=None):
    content = [{"type": "image", "url": visual(doc)[0]}, {"type": "text", "text": text(doc)}]
    return [{"role": "user", "content": content}]


def process(doc, results):
    return {"exact": float(results[0].strip().lower() == doc["answer"])}
"""
_DATA = """
import json, sys
from pathlib import Path
import datasets
source, target = Path(sys.argv[1]), sys.argv[2]
rows = [
    {"question": question, "answer": answer, "image": {"bytes": (source / "images" / f"{image}.png").read_bytes(), "path": None}}
    for question, answer, image in json.loads((source / "questions.json").read_text())
]
features = datasets.Features(
    {"question": datasets.Value("string"), "answer": datasets.Value("string"), "image": datasets.Image()}
)
datasets.Dataset.from_list(rows, features=features).to_parquet(target)
"""


def measure_peer(stub: Stub, folder: Path, count: int) -> dict[str, Any]:
    """Its requests per second, seconds and memory, or the one sentence on how to have them measured."""
    if not PYTHON.exists():
        return {"lmms_eval": "not installed; make peer installs it (several GB)"}
    spec = importlib.util.find_spec("easy_vqa")
    assert spec and spec.origin
    tasks = folder / "peer" / "easy_vqa"
    tasks.mkdir(parents=True)
    data = folder / "peer" / "test.parquet"
    measured([str(PYTHON), "-c", _DATA, str(Path(spec.origin).parent / "data" / "test"), str(data)])
    (tasks / "easy_vqa.yaml").write_text(_TASK % data)
    (tasks / "utils.py").write_text(_CODE)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none", "OPENAI_API_BASE": stub.url}
    command = [str(PYTHON), "-m", "lmms_eval", "--model", "async_openai"]
    command += ["--model_args", f"model=stub,num_cpus={IN_FLIGHT}", "--tasks", "easy_vqa"]
    command += ["--include_path", str(tasks.parent), "--batch_size", "1", "--limit", str(count)]
    command += ["--log_samples", "--output_path", str(folder / "peer" / "out")]
    stub.stats()
    usage = measured(command, environment)
    seen = stub.stats()
    if not seen["requests"]:
        raise RuntimeError("lmms-eval asked nothing; run its command by hand to see why")
    return {
        "lmms_eval_requests_per_s": round(seen["requests"] / seen["seconds"], 1),
        "lmms_eval_requests": seen["requests"],
        "lmms_eval_whole_run_s": round(usage.seconds, 2),
        "lmms_eval_peak_mb": usage.peak_mb,
    }
