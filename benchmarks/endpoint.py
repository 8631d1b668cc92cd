"""The endpoint path: requests per second against what the latency allows, and memory against the number of documents."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.lmms_eval_peer import measure_peer
from benchmarks.process_tree import measured
from benchmarks.stub import IN_FLIGHT, LATENCY, Stub, job

QUESTIONS = 9673
"""Of easy-VQA's test split."""

_TASK = """
task: pictures
dataset_path: json
dataset_kwargs: {data_files: {test: documents.jsonl}}
test_split: test
media: {image: "{{ image }}"}
output_type: generate_until
doc_to_messages:
  - {role: user, content: [{type: image, image: image}, {type: text, text: question}]}
doc_to_target: answer
generation_kwargs: {max_new_tokens: 8, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def endpoint(count: int = QUESTIONS) -> dict[str, object]:
    """easy-VQA's questions with their images, by `assay run` with its defaults, beside a bare aiohttp loop, the latency's
    own limit and, where it is installed (`make peer`), lmms-eval. Requests per second as the endpoint saw them, from the
    first request to the last answer."""
    with Stub() as stub, tempfile.TemporaryDirectory() as folder:
        path = job(Path(folder), stub.url, {"name": "easy_vqa", "limit": count})
        usage = measured([sys.executable, "-m", "assay_runner", "run", path, "--store", folder, "--json"])
        seen = stub.stats()
        bare = [sys.executable, "-m", "benchmarks.bare_loop", stub.port, str(count), str(IN_FLIGHT)]
        subprocess.run(bare, check=True, capture_output=True)
        floor = stub.stats()
        peer = measure_peer(stub, Path(folder), count)
    rate, limit = seen["requests"] / seen["seconds"], IN_FLIGHT / LATENCY
    return {
        "samples": count,
        "requests": seen["requests"],
        "most_in_flight": seen["peak"],
        "assay_requests_per_s": round(rate),
        "assay_samples_per_s": round(count / seen["seconds"]),
        "limit_requests_per_s": limit,
        "assay_of_limit": round(rate / limit, 3),
        "assay_whole_run_s": round(usage.seconds, 2),
        "assay_peak_mb_of_all_processes": usage.peak_mb,
        "assay_processes": usage.processes,
        "bare_aiohttp_requests_per_s": round(bare_rate := floor["requests"] / floor["seconds"]),
        "assay_of_bare": round(rate / bare_rate, 2),
        **peer,
        **({"assay_times_lmms_eval": round(rate / peer["lmms_eval_requests_per_s"], 1)} if len(peer) > 1 else {}),
    }


def memory(count: int = 100_000) -> dict[str, object]:
    """The peak memory of a run over `count` image questions beside that of one over a tenth of them."""
    peaks = {}
    for size in (count // 10, count):
        with Stub() as stub, tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tasks").mkdir()
            _write_pictures(Path(folder) / "tasks", size)
            path = job(Path(folder), stub.url, {"name": "pictures"}, sources="tasks")
            peaks[size] = measured([sys.executable, "-m", "assay_runner", "run", path, "--store", folder, "--json"])
            seen = stub.stats()
    few, many = peaks.values()
    return {
        "samples": count,
        "assay_requests_per_s": round(seen["requests"] / seen["seconds"]),
        "assay_peak_mb_of_all_processes": many.peak_mb,
        "with_a_tenth_of_the_samples_mb": few.peak_mb,
        "ratio": round(many.peak_mb / few.peak_mb, 3),
        "assay_whole_run_s": round(many.seconds, 2),
    }


def _write_pictures(folder: Path, count: int) -> None:
    """A task over easy-VQA's pictures with `count` different questions."""
    spec = find_spec("easy_vqa")
    assert spec and spec.origin
    data = Path(spec.origin).parent / "data" / "test"
    questions = json.loads((data / "questions.json").read_text())
    (folder / "images").symlink_to(data / "images")
    (folder / "pictures.yaml").write_text(_TASK)
    with (folder / "documents.jsonl").open("w") as file:
        for number in range(count):
            question, answer, image = questions[number % len(questions)]
            document = {"question": f"{question} (question {number})", "answer": answer, "image": f"images/{image}.png"}
            file.write(json.dumps(document) + "\n")
