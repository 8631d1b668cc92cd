"""A made-up run of any size for the reduce case: a plan, and records as a worker would have committed them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random

from assay_api.base import sha256
from assay_api.layout import ChunkId, sample_id
from assay_api.plan import DataPin, ModelPlan, Plan, TaskPlan
from assay_api.records import Answer, Marker, Placement, RecordsHeader, SampleRecord, Usage
from assay_runner import __version__
from assay_runner.plan.chunks import boundaries
from assay_runner.plan.write import write_run
from assay_runner.records import encode_records
from assay_runner.store.file import FileStore
from assay_runner.store.prefixed import Prefixed
from assay_runner.tasks.config import TaskConfig

NAME, RUN = "many", "bench/many/r1/"
TEXT = """the image shows a small red circle beside two large teal rectangles on black ground near some lines of text that ask
what colour it has and how many there are"""
WORDS = TEXT.split()
CONFIG = {
    "task": NAME,
    "dataset_path": "json",
    "doc_to_messages": [{"role": "user", "content": [{"type": "text", "text": "{{ question }}"}]}],
    "doc_to_target": "answer",
    "metric_list": [
        {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True},
        {"metric": "anls", "aggregation": "mean", "higher_is_better": True},
    ],
}


def make_run(root: Path, count: int, processes: int) -> str:
    """Write a finished run of `count` samples below `root` and return its address."""
    cuts = boundaries([300.0] * count, None)
    task = TaskPlan(
        name=NAME,
        config=TaskConfig.parse(CONFIG, "bench").to_plain(),
        data=DataPin(fingerprint="0" * 64, documents=count, source="made up"),
        repeats=1,
        boundaries=cuts,
    )
    plan = Plan(
        assay_version=__version__,
        job=NAME,
        model=ModelPlan(backend="openai", name="stub"),
        tasks=(task,),
        seed=0,
        batch_size=1,
        determinism="best-effort",
    )
    write_run(Prefixed(FileStore(root), RUN), plan, Placement())
    (root / RUN / "chunks" / NAME).mkdir(parents=True)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        write = partial(_write_chunk, root / RUN, plan.digest)
        list(pool.map(write, *zip(*((i, *span) for i, span in enumerate(pairwise(cuts))), strict=True), chunksize=64))
    return f"file://{root}/{RUN}".rstrip("/")


def _write_chunk(run: Path, plan: str, index: int, start: int, stop: int) -> None:
    chunk, attempt, random = ChunkId(NAME, index), f"{index:032x}", Random(index)
    header = RecordsHeader(plan=plan, task=NAME, chunk=index, attempt=attempt)
    data = encode_records(header, [_record(number, random) for number in range(start, stop)])
    key = chunk.data(attempt)
    marker = Marker(
        plan=plan, task=NAME, chunk=index, attempt=attempt, key=key, sha256=sha256(data), n=stop - start, errors=0
    )
    (run / key).parent.mkdir()
    (run / key).write_bytes(data)
    (run / chunk.marker).write_bytes(marker.encode())


def _record(number: int, random: Random) -> SampleRecord:
    image = {"type": "image", "mime": "image/png", "sha256": hashlib.sha256(str(number // 4).encode()).hexdigest()}
    question = {"type": "text", "text": " ".join(random.choices(WORDS, k=30))}
    target, answer = random.choices(WORDS, k=2)
    return SampleRecord(
        id=sample_id(NAME, number, 0),
        document=number,
        repeat=0,
        document_id=f"question-{number:07d}",
        prompt=[{"role": "user", "content": [image, question]}],
        target=target,
        answers=[Answer(text=answer, finish_reason="stop")],
        filtered={"none": answer},
        items={"exact_match": float(random.random() < 0.6), "anls": random.choice((0.0, 0.5, 0.75, 1.0))},
        usage=Usage(
            tokens_in=random.randrange(200, 900),
            tokens_out=random.randrange(1, 9),
            latency=random.gammavariate(4, 0.2),
            first_token=random.gammavariate(2, 0.1),
        ),
    )
