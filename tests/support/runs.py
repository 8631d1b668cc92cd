"""Small real runs for tests: a task folder with its data, a plan of it, and a backend whose answers follow from the question."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from assay_api.evaljob import EvalJob
from assay_api.plan import Plan
from assay_runner.backends.base import Batch, Description, Request, Response, ResponseError
from assay_runner.gates.plan import plan_gates
from assay_runner.manifest import parse_job
from assay_runner.plan.planner import PlannerSettings, make_plan
from assay_runner.plan.write import committing_store, write_run
from assay_runner.store.base import Store
from assay_runner.store.file import FileStore
from assay_runner.store.prefixed import Prefixed
from assay_runner.work.settings import WorkerSettings
from assay_runner.work.stage import open_stages
from assay_runner.work.worker import Worker
from support.endpoint import MODEL as ENDPOINT_MODEL
from support.endpoint import reply

WORDS = ("red", "green", "blue", "teal")

TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: colours.jsonl}}
test_split: test
output_type: generate_until
doc_to_messages:
  - role: user
    content: [{type: text, text: "What is the colour of {{ thing }}?"}]
doc_to_target: colour
cluster_key: shelf
id_key: thing
generation_kwargs: {max_new_tokens: 8, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}
process_results: !function utils.score
"""

PLAIN_TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: colours.jsonl}}
test_split: test
output_type: generate_until
doc_to_messages: [{role: user, content: [{type: text, text: "What is the colour of {{ thing }}?"}]}]
doc_to_target: colour
generation_kwargs: {max_new_tokens: 8, temperature: 0}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
"""The same without code of its own and with one metric, for tests of many runs."""

UTILS = """
import random


def score(doc, results):
    right = float(results[0] == doc["colour"])
    return {"exact_match": right, "f1": [right, random.random()]}


def lenient(items):
    return sum(right for right, _ in items) / len(items) + sum(luck for _, luck in items) / 1000
"""

MODEL = Description(
    pins={"engine": "test"},
    batch_size=4,
    determinism="exact",
    loglikelihood=True,
    media=frozenset({"image", "audio", "video"}),
)


def write_task(folder: Path, documents: int = 120, *, task: str = TASK, utils: str = UTILS) -> Path:
    """A task folder; answers in the data agree with `answer_of` for about two thirds of the documents."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(documents):
        colour = answer_of(f"What is the colour of thing {number}?") if number % 3 else WORDS[number % 4]
        rows.append({"thing": f"thing {number}", "colour": colour, "shelf": f"shelf {number // 5}"})
    (folder / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "colours.yaml").write_text(task)
    (folder / "utils.py").write_text(utils)
    return folder


def job(folder: Path, /, **spec: Any) -> EvalJob:
    """A job over the task folder."""
    return parse_job(
        yaml.safe_load(
            yaml.safe_dump(
                {
                    "apiVersion": "assay.dev/v1alpha1",
                    "kind": "EvalJob",
                    "metadata": {"name": "colours"},
                    "spec": {
                        "model": {"backend": "openai", "name": "m", "endpoint": {"url": "http://127.0.0.1:1/v1"}},
                        "tasks": [{"name": "colours"}],
                        "taskSources": [{"uri": str(folder)}],
                        "chunkSize": 8,
                    }
                    | spec,
                }
            )
        ),
        "job.yaml",
    )


def write_job(folder: Path, url: str, *, documents: int, in_flight: int = 4) -> Path:
    """A manifest beside its task folder, over an endpoint that knows the answers."""
    write_task(folder / "tasks", documents=documents)
    path = folder / "job.yaml"
    path.write_text(
        f"""
apiVersion: assay.dev/v1alpha1
kind: EvalJob
metadata: {{name: colours}}
spec:
  model: {{backend: openai, name: {ENDPOINT_MODEL}, endpoint: {{url: "{url}", maxConcurrency: {in_flight}}}}}
  tasks: [{{name: colours}}]
  taskSources: [{{uri: tasks}}]
  chunkSize: 10
"""
    )
    return path


def start_run(job: Path, store: str, workers: int) -> subprocess.Popen[bytes]:
    """`assay run`, as a user types it, with results.json on its standard output."""
    command = [
        sys.executable,
        "-m",
        "assay_runner",
        "run",
        str(job),
        "--store",
        store,
        "--workers",
        str(workers),
        "--json",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes]) -> bytes:
    """What the run printed, when it ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return out


@dataclass
class Run:
    """A planned run in a store."""

    root: Store
    store: Store
    plan: Plan
    scratch: Path

    @property
    def uri(self) -> str:
        return self.store.uri.rstrip("/")


def planned(
    tmp_path: Path, root: Store | None = None, *, run: str = "r1", description: Description = MODEL, **spec: Any
) -> Run:
    """Plan the task folder below `tmp_path` (made if it is not there) into `root`."""
    tasks = tmp_path / "tasks"
    if not tasks.exists():
        write_task(tasks)
    root = root or FileStore(tmp_path / "store")
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    made = make_plan(
        job(tasks, **spec),
        tmp_path / "job.yaml",
        root,
        PlannerSettings(scratch, in_place=root.uri.startswith("file:")),
        lambda: description,
        plan_gates,
    )
    part = Prefixed(root, f"default/colours/{run}/")
    write_run(part, made.plan, made.placement)
    store, _ = committing_store(part)
    return Run(root, store, made.plan, scratch)


def answer_of(text: str) -> str:
    """What the test model says to a question."""
    return WORDS[hashlib.sha256(text.encode()).digest()[0] % len(WORDS)]


async def colours(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same answers from an endpoint (`TestEndpoint(answer=colours)`)."""
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return reply(path, answer_of(text), "stop", len(text), 1)


@dataclass
class AnsweringBackend:
    """A backend that answers from the question alone, after a while, out of order; or fails as told."""

    random: Random = field(default_factory=Random)
    delay: float = 0.0
    capacity: int = 3
    error: Callable[[Request], ResponseError | None] = lambda request: None
    started: int = 0
    seen: list[Batch] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """When set, nothing is answered before it."""
    trouble: str = ""

    async def start(self) -> None:
        self.started += 1

    async def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        answered: asyncio.Queue[Response | None] = asyncio.Queue()
        slots = asyncio.Semaphore(self.capacity)

        async def one(batch: Batch) -> None:
            if self.gate:
                await self.gate.wait()
            await asyncio.sleep(self.random.random() * self.delay)
            for request in self.random.sample(batch, len(batch)):
                answered.put_nowait(self._response(request))
            slots.release()

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                async for batch in batches:
                    await slots.acquire()
                    self.seen.append(batch)
                    group.create_task(one(batch))
            answered.put_nowait(None)

        asking = asyncio.create_task(all_of_them())
        try:
            while (response := await answered.get()) is not None:
                yield response
            await asking
        finally:
            asking.cancel()

    def _response(self, request: Request) -> Response:
        error = self.error(request)
        if error:
            return Response(request.key, error=error, attempts=4)
        text = "".join(
            part.text for message in request.messages[-1:] for part in message.parts if hasattr(part, "text")
        )
        return Response(
            request.key, text=answer_of(text), tokens_in=len(text), tokens_out=1, latency=self.random.random()
        )

    async def close(self) -> None:
        return None


def worker(
    run: Run,
    name: str = "w",
    backend: AnsweringBackend | None = None,
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> Worker:
    """A worker of the run inside this process."""
    defaults: dict[str, Any] = {"beat": 0.05, "silence": 0.5, "poll": 0.02, "grace": 5.0}
    return Worker(
        run.store,
        WorkerSettings(worker=name, **(defaults | settings)),
        plan=run.plan,
        stages=lambda: open_stages(run.plan, run.root, Path(tempfile.mkdtemp(dir=run.scratch))),
        backend=lambda: backend or AnsweringBackend(),
        say=say,
    )


def results_bytes(run: Run, **options: Any) -> bytes:
    """The bytes of results.json after a reduction."""
    from assay_runner.gates.judge import judge_run
    from assay_runner.reduce.reducer import reduce_run

    _, probed = committing_store(run.store)
    reduce_run(run.root, run.store, probed, judge_run, **options)
    return run.store.get("results.json")
