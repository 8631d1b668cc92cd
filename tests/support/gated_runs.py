"""Finished runs of the test task under models that answer as told, and plans of jobs with gates."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from assay_runner.backends.base import Response, ResponseError
from assay_runner.store.file import FileStore
from support.runs import TASK, AnsweringBackend, answer_of, planned, results_bytes, worker, write_task

PLAIN = (
    TASK.replace("process_results: !function utils.score\n", "")
    .replace("  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", "")
    .replace("id_key: thing\n", "")
)
"""Zeros and ones on shelves of five questions; two of three are right."""


class Model(AnsweringBackend):
    """Answers like the test model; `wrong` says on which documents it does not, `fails` on which it fails."""

    def __init__(self, wrong=lambda number: False, fails=lambda number: False):
        super().__init__()
        self.wrong, self.fails = wrong, fails

    def _response(self, request):
        number = int(request.key.split("/")[1])
        if self.fails(number):
            return Response(request.key, error=ResponseError("Timeout", "too slow"), attempts=4)
        text = "" if self.wrong(number) else answer_of(f"What is the colour of thing {number}?")
        return Response(request.key, text=text, tokens_in=1, tokens_out=1, latency=0.1)


@dataclass
class Lab:
    """Runs in one store; they are told apart by their names."""

    folder: Any
    made: dict[str, Any] = field(default_factory=dict)

    def plan(self, name, *, task=PLAIN, documents=60, **spec):
        folder = self.folder / name
        write_task(folder / "tasks", documents=documents, task=task)
        spec = {"errorPolicy": {"maxErrorRate": 1.0}} | spec
        self.made[name] = planned(folder, FileStore(self.folder / "store"), run=name, **spec)
        return self.made[name]

    def work(self, name, model=None):
        asyncio.run(worker(self.made[name], backend=model or Model(), index=0).run())
        return self.made[name]

    def run(self, name, model=None, **spec):
        """Plan, work and reduce."""
        self.plan(name, **spec)
        run = self.work(name, model)
        results_bytes(run)
        return run


def against(run, name="g", smallest=0.05, **fields):
    """A gate with the run as its baseline."""
    asked = {"name": name, "task": "colours", "metric": "exact_match", "baseline": {"run": run.uri}}
    return asked | {"smallestDifference": smallest} | fields
