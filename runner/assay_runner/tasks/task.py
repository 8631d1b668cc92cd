"""`Task`: one planned task at work. It builds the requests of a document and scores its answers into records.

Scoring a document needs its own answers alone, so it happens where the answers come in; what needs all documents (a corpus
score, an aggregation of the task's own) is left to the reducer, which gets every item in planned order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay_api import layout
from assay_api.errors import SpecError
from assay_api.plan import TaskPlan
from assay_api.records import Answer, SampleError, SampleRecord, Usage
from assay_runner.backends.base import Message, Request, Response
from assay_runner.data.values import Doc
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks import fewshot, prompts
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.generation import generation_of
from assay_runner.tasks.hooks import Code, Hooks
from assay_runner.tasks.score import MetricSpec, Scorer

__all__ = ["MetricSpec", "Sample", "Task", "TaskError"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One document asked once: its requests, and what the record says of the question."""

    id: str
    document: int
    repeat: int
    requests: tuple[Request, ...]
    prompt: list[dict[str, Any]]
    target: Any
    choices: tuple[str, ...] | None
    document_id: str | None
    cluster: str | None


class Task:
    """One task of a plan, loaded."""

    def __init__(self, plan: TaskPlan, config: TaskConfig, code: Code, seed: int, model_name: str) -> None:
        self._plan, self._config, self._code, self._seed = plan, config, code, seed
        self._hooks = Hooks(config, code, seed, model_name)
        self._prompts = prompts.Prompts(config, self._hooks)
        self._generation = generation_of(config, model_name)
        self._scorer = Scorer(config, self._hooks, code)
        self._shots = config.fewshot_config or {}
        sampler = self._shots.get("sampler", "default")
        if sampler not in ("default", "first_n"):
            raise SpecError(
                f"task {config.task}", "fewshot_config.sampler", f"{sampler!r} is not known", "use default or first_n"
            )
        self.fewshot_sampler: fewshot.Sampler = sampler

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

        def process(dataset: Any) -> Any:
            try:
                return folder.call("process_docs", function, (dataset,), seed)
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
        """The split that examples come from; None when the task file holds them."""
        if isinstance(self._shots.get("samples"), list):
            return None
        config = self._config
        return config.fewshot_split or config.training_split or config.validation_split or config.evaluated_split

    @property
    def fewshot_samples(self) -> list[Doc]:
        """Examples written in the task file."""
        return [dict(sample) for sample in self._shots.get("samples", [])]

    def choose_examples(self, document: int, pool: int) -> list[int]:
        """Places in the few-shot pool of the examples for a document."""
        same = self.fewshot_split == self._config.evaluated_split
        return fewshot.choose(
            document, pool, self.num_fewshot, self.fewshot_sampler, seed=self._seed, task=self._config.task, same_split=same
        )  # fmt: skip

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
        continuations = self._continuations(choices, target)
        prompt = prompts.plain(messages)
        return [
            Sample(
                id=sample,
                document=document,
                repeat=repeat,
                requests=tuple(
                    self._request(sample, place, messages, raw, continuation)
                    for place, continuation in enumerate(continuations)
                ),
                prompt=prompt,
                target=target,
                choices=tuple(choices) if choices is not None else None,
                document_id=str(doc[config.id_key]) if config.id_key else None,
                cluster=_column(doc, config.cluster_key),
            )
            for repeat in range(self._plan.repeats)
            for sample in [layout.sample_id(self._plan.name, document, repeat)]
        ]

    def score(self, doc: Doc, samples: Sequence[Sample], responses: Sequence[Sequence[Response]]) -> list[SampleRecord]:
        """The records of a document, one per repeat: scored, or with the error that kept it from being scored."""
        failures = [_failure(answers) for answers in responses]
        good = [place for place, failure in enumerate(failures) if failure is None]
        items: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        try:
            if good:
                scored = self._scorer.score(
                    samples[0].document, doc, samples[0].target, samples[0].choices, [responses[place] for place in good]
                )
                items = dict(zip(good, scored, strict=True))
        except TaskError as error:
            for place in good:
                failures[place] = SampleError(kind=error.kind, message=error.message)
        return [
            _record(sample, answers, failure, *items.get(place, ({}, {})))
            for place, (sample, answers, failure) in enumerate(zip(samples, responses, failures, strict=True))
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

    def _continuations(self, choices: Sequence[str] | None, target: Any) -> list[str | None]:
        delimiter = self._config.target_delimiter
        if self._config.output_type == "generate_until":
            return [None]
        if self._config.output_type == "loglikelihood":
            return [f"{delimiter}{target}"]
        return [f"{delimiter}{choice}" for choice in choices or ()]

    def _choices(self, document: int, doc: Doc) -> list[str] | None:
        if self._config.doc_to_choice is None:
            return None
        found = self._hooks.value("doc_to_choice", document, doc)
        if not isinstance(found, list | tuple) or not found:
            raise TaskError("TaskError", f"doc_to_choice gave {str(found)[:60]!r}, which is no list of choices")
        return [str(choice) for choice in found]

    def _target(self, document: int, doc: Doc) -> Any:
        """The reference as it is recorded: text, several texts, or for multiple choice the index (or indices)."""
        if self._config.doc_to_target is None:
            return None
        found = self._hooks.value("doc_to_target", document, doc)
        if hasattr(found, "tolist"):
            found = found.tolist()
        if isinstance(found, str) and found.isdigit() and self._config.doc_to_choice is not None:
            return int(found)
        return list(found) if isinstance(found, tuple) else found

    def _target_text(self, number: int, doc: Doc) -> str:
        target, choices = self._target(number, doc), self._choices(number, doc)
        if isinstance(target, list) and target:
            target = target[0]
        if isinstance(target, int) and not isinstance(target, bool) and choices:
            return choices[target]
        return str(target)


def _column(doc: Doc, name: str | None) -> str | None:
    if name is None:
        return None
    if name not in doc:
        raise TaskError("TaskError", f"the document has no column {name!r}, which cluster_key names")
    return str(doc[name])


def _failure(answers: Sequence[Response]) -> SampleError | None:
    for answer in answers:
        if answer.error is not None:
            return SampleError(kind=answer.error.kind, message=answer.error.message)
    return None


def _record(
    sample: Sample,
    answers: Sequence[Response],
    failure: SampleError | None,
    filtered: Mapping[str, Any],
    items: Mapping[str, Any],
) -> SampleRecord:
    return SampleRecord(
        id=sample.id,
        document=sample.document,
        repeat=sample.repeat,
        document_id=sample.document_id,
        cluster=sample.cluster,
        prompt=sample.prompt,
        target=sample.target,
        choices=list(sample.choices) if sample.choices is not None else None,
        answers=[
            Answer(
                text=answer.text,
                logprob=answer.logprob,
                greedy=answer.greedy,
                tokens=answer.tokens,
                finish_reason=answer.finish_reason,
                reasoning=answer.reasoning,
            )
            for answer in answers
        ],
        filtered=dict(filtered),
        items=dict(items) if failure is None else {},
        error=failure,
        attempts=max((answer.attempts for answer in answers), default=0),
        usage=Usage(
            tokens_in=_total([answer.tokens_in for answer in answers]),
            tokens_out=_total([answer.tokens_out for answer in answers]),
            latency=max((answer.latency for answer in answers if answer.latency is not None), default=None),
            first_token=min((answer.first_token for answer in answers if answer.first_token is not None), default=None),
        ),
    )


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
