"""Task folders made by a test, loaded the way a worker loads them: catalogue, bundle, plan, `Task`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay_api.plan import DataPin, TaskPlan
from assay_runner.backends.base import Response, ResponseError
from assay_runner.tasks.bundle import make_bundle, unpack
from assay_runner.tasks.catalogue import Catalogue
from assay_runner.tasks.task import Task

HEADER = "task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: data.jsonl}}}}\ntest_split: test\n"


@dataclass
class Loader:
    """Writes task folders below `root` and loads tasks from them."""

    root: Path

    def folder(self, name: str = "mine", **files: str) -> Path:
        """A folder with files; `utils_py` stands for utils.py, `a_b_yaml` for a_b.yaml, `x` for x."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            stem, _, suffix = file.rpartition("_")
            path = folder / (f"{stem}.{suffix}" if suffix in ("py", "yaml") and stem else file)
            path.write_text(text)
        return folder

    def catalogue(self, *folders: Path) -> Catalogue:
        return Catalogue(folders or [self.root / "mine"])

    def shipped(self, name: str, repeats: int = 1, **options: Any) -> Task:
        return self.load(name, [], repeats, **options)

    def task(self, text: str, utils: str = "", *, name: str = "t", repeats: int = 1, **options: Any) -> Task:
        """A task from what follows the header in its file, and its utils.py."""
        folder = self.folder(name=f"folder-{name}", **{f"{name}_yaml": HEADER.format(name=name) + text})
        if utils:
            (folder / "utils.py").write_text(utils)
        return self.load(name, [folder], repeats, **options)

    def load(
        self,
        name: str,
        folders: list[Path],
        repeats: int = 1,
        *,
        seed: int = 0,
        shots: int | None = None,
        model: str = "m",
    ) -> Task:
        (resolved,) = Catalogue(folders).resolve([name]).tasks
        config = resolved.config.with_overrides(num_fewshot=shots, repeats=repeats, generation=None)
        code, where = None, None
        if config.uses_code:
            code, data = make_bundle(*config.folders)
            where = unpack(code, data, self.root / f"code-{name}")
        plan = TaskPlan(
            name=name,
            config=json.loads(json.dumps(config.to_plain())),
            code=code,
            data=DataPin(fingerprint="", documents=100, source=""),
            repeats=repeats,
            boundaries=(0, 100),
        )
        return Task.load(plan, where, seed, model)


@pytest.fixture
def tasks(tmp_path) -> Loader:
    return Loader(tmp_path)


@pytest.fixture
def answered():
    """Score document `number` with one text per repeat (or None for a repeat whose request failed)."""

    def score(task: Task, doc: dict, *texts: str | None, number: int = 0):
        samples = task.build(number, doc, [])
        return task.score(
            doc, samples, [[_text(sample.requests[0].key, text)] for sample, text in zip(samples, texts, strict=True)]
        )

    return score


@pytest.fixture
def chosen():
    """Score document `number` with one log-probability per request."""

    def score(task: Task, doc: dict, *logprobs: float, greedy: int | None = None, number: int = 0):
        (sample,) = task.build(number, doc, [])
        responses = [
            Response(request.key, logprob=logprob, greedy=place == greedy)
            for place, (request, logprob) in enumerate(zip(sample.requests, logprobs, strict=True))
        ]
        return task.score(doc, [sample], [responses])[0]

    return score


def _text(key: str, text: str | None) -> Response:
    if text is None:
        return Response(key, error=ResponseError("Timeout", "no answer in time"), attempts=4)
    return Response(key, text=text, tokens_in=3, tokens_out=1, latency=0.1)
