"""A task folder written for lmms-eval runs as it is: parquet with image features, its own functions, a real server."""

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest

from support.endpoint import MODEL, TestEndpoint, reply

TASK = """
task: easy_vqa
dataset_path: ./ds
test_split: test
output_type: generate_until
doc_to_visual: !function utils.vis
doc_to_text: !function utils.txt
doc_to_target: "answer"
doc_to_messages: !function utils.msgs
process_results: !function utils.proc
generation_kwargs:
  max_new_tokens: 8
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact
    aggregation: mean
    higher_is_better: true
"""
UTILS = """
def vis(doc): return [doc["image"].convert("RGB")]
def txt(doc, k=None): return doc["question"]+" Answer with one word."
def msgs(doc, k=None):
    return [{"role":"user","content":[{"type":"image","url":doc["image"].convert("RGB")},{"type":"text","text":txt(doc)}]}]
def proc(doc, res):
    return {"exact": float(res[0].strip().lower()==doc["answer"])}
"""
DOCUMENTS = 60


def pixels(data: bytes) -> str:
    from PIL import Image

    return hashlib.sha256(Image.open(io.BytesIO(data)).convert("RGB").tobytes()).hexdigest()


@pytest.fixture
def questions():
    """Question, answer and image file of the first test documents of easy-VQA."""
    easy_vqa = pytest.importorskip("easy_vqa")
    data = Path(easy_vqa.__file__).parent / "data" / "test"
    rows = json.loads((data / "questions.json").read_text())[:DOCUMENTS]
    return [(question, answer, data / "images" / f"{image}.png") for question, answer, image in rows]


@pytest.fixture
def folder(tmp_path, questions):
    from datasets import Dataset, Features, Image, Value

    folder = tmp_path / "lmms_tasks" / "easy_vqa"
    (folder / "ds" / "data").mkdir(parents=True)
    (folder / "easy_vqa.yaml").write_text(TASK)
    (folder / "utils.py").write_text(UTILS)
    features = Features({"question": Value("string"), "answer": Value("string"), "image": Image()})
    rows = [{"question": q, "answer": a, "image": {"bytes": f.read_bytes(), "path": None}} for q, a, f in questions]
    Dataset.from_list(rows, features=features).to_parquet(folder / "ds" / "data" / "test-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_an_lmms_eval_folder_runs_as_it_is(tmp_path, assay, folder, questions, workers):
    known = {(f"{q} Answer with one word.", pixels(f.read_bytes())): a for q, a, f in questions}
    right = set(list(known)[::3])

    async def answer(path, body):
        image, text = body["messages"][-1]["content"]
        seen = (text["text"], pixels(base64.b64decode(image["image_url"]["url"].partition(",")[2])))
        return reply(path, f" {known[seen].upper()}\n" if seen in right else "none of these", "stop", 10, 1)

    with TestEndpoint(answer=answer) as endpoint:
        (tmp_path / "job.yaml").write_text(
            json.dumps(
                {
                    "apiVersion": "assay.dev/v1alpha1",
                    "kind": "EvalJob",
                    "metadata": {"name": "lmms"},
                    "spec": {
                        "model": {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
                        "tasks": [{"name": "easy_vqa"}],
                        "taskSources": [{"uri": "lmms_tasks"}],
                        "chunkSize": 16,
                    },
                }
            )
        )
        done = assay("run", "job.yaml", "--workers", workers, "--json", check=0)
    task = json.loads(done.stdout)["tasks"][0]
    expected = sum(1 for q, a, f in questions if (f"{q} Answer with one word.", pixels(f.read_bytes())) in right)
    assert task["errors"] == {} and task["documents"] == DOCUMENTS
    assert [(m["metric"], m["n"]) for m in task["metrics"]] == [("exact", DOCUMENTS)]
    assert task["metrics"][0]["value"] == pytest.approx(expected / DOCUMENTS)
    assert all(body["max_tokens" if "max_tokens" in body else "max_completion_tokens"] == 8 for body in endpoint.bodies)
    # The function converted an RGB picture to RGB: nothing changed, so the file's own bytes were sent.
    first = endpoint.bodies[0]["messages"][-1]["content"][0]["image_url"]["url"]
    assert base64.b64decode(first.partition(",")[2]) in {file.read_bytes() for _, _, file in questions}
