"""`Task`: one planned task at work. It builds the requests of a document and scores its answers into records.

Scoring a document needs its own answers alone, so it happens where the answers come in; what needs all documents (a
corpus score, an aggregation of the task's own) is left to the reducer, which gets every item in planned order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from assay_api import layout
from assay_api.errors import SpecError
from assay_api.plan import TaskPlan
from assay_api.records import SampleError, SampleRecord
from assay_runner.backends.base import Message, Request, Response
from assay_runner.data.values import Doc
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks import fewshot, prompts
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.generation import generation_of
from assay_runner.tasks.gold import gold_of, gold_texts
from assay_runner.tasks.hooks import Code, Hooks
from assay_runner.tasks.items import to_plain
from assay_runner.tasks.record import Sample, failure_of, record_of
from assay_runner.tasks.score import MetricSpec, Scorer

__all__ = ["MetricSpec", "Sample", "Task", "TaskError"]


class Task:
    """One task of a plan, loaded."""

    def __init__(self, plan: TaskPlan, config: TaskConfig, code: Code, seed: int, model_name: str) -> None:
        self._plan, self._config, self._code, self._seed = plan, config, code, seed
        self._hooks = Hooks(config, code, seed, model_name)
        self._prompts = prompts.Prompts(config, self._hooks)
        self._generation = generation_of(config, model_name)
        self._scorer = Scorer(config, self._hooks, code)
        self._shots = fewshot.Shots.of(config)

    @classmethod
    def load(cls, plan: TaskPlan, code_folder: Path | None, seed: int, model_name: str) -> Task:
        """The planned task, its Python loaded from `code_folder`.

        Raises:
            SpecError: the task refers to what does not exist, or to what this version cannot honour.
        """
        return cls(plan, TaskConfig.from_plain(plan.config), Code(code_folder), seed, model_name)

    @property
    def alias(self) -> str | None:
        """Name for tables."""
        return self._config.task_alias

    @property
    def version(self) -> str | None:
        """The task's own version, when its file states one."""
        metadata = self._config.metadata
        version = metadata.get("version") if isinstance(metadata, Mapping) else None
        return None if version is None else str(version)

    @property
    def needs_loglikelihood(self) -> bool:
        """Whether the model must score given texts."""
        return self._config.output_type != "generate_until"

    @property
    def samples(self) -> bool:
        """Whether answers are to be sampled."""
        return not self.needs_loglikelihood and self._generation.temperature > 0

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """What the reducer computes, in the task file's order."""
        return self._scorer.metrics

    @property
    def process_docs(self) -> Callable[[Any], Any] | None:
        """The function that turns the loaded split into the evaluated documents."""
        reference = self._config.process_docs
        if reference is None:
            return None
        function, folder = self._code.find(reference), self._code.folder(reference)
        seed = derive_seed(self._seed, self._config.task, "process_docs")

        def whole(dataset: Any) -> Any:
            answer = function(dataset)
            # A generator would run the task's code after it has been put away.
            return list(answer) if isinstance(answer, Iterator) else answer

        def process(dataset: Any) -> Any:
            try:
                return folder.call("process_docs", whole, (dataset,), seed)
            except TaskError as error:
                raise SpecError(
                    f"task {self._config.task}", "process_docs", error.message, "correct the function"
                ) from error

        return process

    @property
    def num_fewshot(self) -> int:
        """Examples in front of each question."""
        return self._config.num_fewshot or 0

    @property
    def fewshot_split(self) -> str | None:
        """The split that examples come from; None when the task brings its own."""
        return self._shots.split

    @property
    def fewshot_sampler(self) -> fewshot.Sampler:
        """How examples are chosen."""
        return self._shots.sampler

    @property
    def fewshot_samples(self) -> list[Doc]:
        """Examples that the task brings: listed in its file, or from a function.

        Raises:
            SpecError: the function failed, or they are no documents.
        """
        return self._shots.samples(self._code, self._seed)

    def choose_examples(self, document: int, pool: int) -> list[int]:
        """Places in the few-shot pool of the examples for a document."""
        return fewshot.choose(
            document,
            pool,
            self.num_fewshot,
            self.fewshot_sampler,
            seed=self._seed,
            task=self._config.task,
            same_split=self.fewshot_split == self._config.evaluated_split,
        )

    def in_a_row(self) -> AbstractContextManager[None]:
        """For building or scoring many documents: cheaper than each by itself, with the same outcome."""
        return self._code.in_a_row()

    def build(self, document: int, doc: Doc, examples: Sequence[Doc]) -> list[Sample]:
        """The samples of a document, one per repeat.

        Raises:
            TaskError: a template or function failed for this document.
        """
        question = self._prompts.question(document, doc)
        shots = [
            (self._prompts.question(-1 - place, example), self._target_text(-1 - place, example))
            for place, example in enumerate(examples)
        ]
        messages = self._prompts.conversation(question, doc, shots)
        raw = self._prompts.raw(question, doc, shots)
        choices = self._choices(document, doc)
        target = self._target(document, doc)
        config = self._config
        if config.output_type == "multiple_choice" and choices is not None and config.process_results is None:
            target = gold_of(target, choices)
        asked = self._asked(messages, raw, choices, target)
        prompt = prompts.plain(messages)
        recorded = to_plain(target, "doc_to_target", tags=False)
        return [
            Sample(
                id=sample,
                document=document,
                repeat=repeat,
                requests=tuple(self._request(sample, place, *one) for place, one in enumerate(asked)),
                prompt=prompt,
                target=recorded,
                choices=tuple(choices) if choices is not None else None,
                document_id=_column(doc, config.id_key, "id_key"),
                cluster=_column(doc, config.cluster_key, "cluster_key"),
            )
            for repeat in range(self._plan.repeats)
            for sample in [layout.sample_id(self._plan.name, document, repeat)]
        ]

    def score(
        self,
        doc: Doc,
        samples: Sequence[Sample],
        responses: Sequence[Sequence[Response]],
        queued: Sequence[float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> list[SampleRecord]:
        """The records of a document, one per repeat: scored, or with the error that kept it from being scored.

        Args:
            queued: seconds that each sample waited in the worker, as far as they are known.
        """
        began = clock()
        failures = [failure_of(answers) for answers in responses]
        good = [answers if failure is None else None for answers, failure in zip(responses, failures, strict=True)]
        first = samples[0]
        scored = self._scorer.score(first.document, doc, first.target, first.choices, good)
        each = (clock() - began) / len(samples)
        waited = queued or [None] * len(samples)
        return [
            record_of(sample, answers, failure, found, queue=seconds, scoring=each)
            for sample, answers, failure, found, seconds in zip(
                samples, responses, failures, scored, waited, strict=True
            )
        ]

    def failed(self, document: int, error: TaskError) -> list[SampleRecord]:
        """Error records of a document that could not be built, one per repeat."""
        return [
            SampleRecord(
                id=layout.sample_id(self._plan.name, document, repeat),
                document=document,
                repeat=repeat,
                error=SampleError(kind=error.kind, message=error.message),
                attempts=0,
            )
            for repeat in range(self._plan.repeats)
        ]

    def _request(
        self, sample: str, place: int, messages: tuple[Message, ...], raw: str | None, continuation: str | None
    ) -> Request:
        return Request(
            key=f"{sample}#{place}",
            kind="generate" if continuation is None else "loglikelihood",
            messages=messages,
            prompt=raw,
            continuation=continuation,
            generation=self._generation,
            seed=derive_seed(self._seed, sample),
        )

    def _asked(
        self, messages: tuple[Message, ...], raw: str | None, choices: Sequence[str] | None, target: Any
    ) -> list[tuple[tuple[Message, ...], str | None, str | None]]:
        """Messages, raw prompt and continuation of every request."""
        delimiter = self._config.target_delimiter
        if self._config.output_type == "generate_until":
            return [(messages, raw, None)]
        if self._config.output_type == "loglikelihood":
            return [(messages, raw, f"{delimiter}{target}")]
        asked = [(messages, raw, f"{delimiter}{choice}") for choice in choices or ()]
        if self._scorer.mutual_information:
            asked += [((), "", choice) for choice in choices or ()]
        return [*asked]

    def _choices(self, document: int, doc: Doc) -> list[str] | None:
        if self._config.doc_to_choice is None:
            return None
        found = self._hooks.choices(document, doc)
        found = list(found.values()) if isinstance(found, Mapping) else found
        if not isinstance(found, list | tuple) or not found:
            raise TaskError("TaskError", f"doc_to_choice gave {str(found)[:60]!r}, which is no list of choices")
        return [str(choice) for choice in found]

    def _target(self, document: int, doc: Doc) -> Any:
        """The reference as it is recorded: text, several texts, or for multiple choice the index (or indices)."""
        if self._config.doc_to_target is None:
            return None
        found = self._hooks.target(document, doc)
        if type(found).__module__ == "numpy":
            found = found.tolist()
        if isinstance(found, str) and found.isdecimal() and self._config.doc_to_choice is not None:
            return self._index(found, document, doc)
        return list(found) if isinstance(found, tuple) else found

    def _index(self, found: str, document: int, doc: Doc) -> int | str:
        """Digits are the index of a choice, unless they come from a column and are themselves a choice."""
        source = self._config.doc_to_target
        written = isinstance(source, str) and source in doc and found in (self._choices(document, doc) or ())
        return found if written else int(found)

    def _target_text(self, number: int, doc: Doc) -> str:
        target, choices = self._target(number, doc), self._choices(number, doc)
        if isinstance(target, list) and target:
            target = target[0]
        return str(gold_texts(target, choices))


def _column(doc: Doc, name: str | None, field: str) -> str | None:
    if name is None:
        return None
    if name not in doc:
        raise TaskError("TaskError", f"the document has no column {name!r}, which {field} names")
    return str(doc[name])
