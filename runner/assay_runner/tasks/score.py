"""Scores one document: filters, then the task's `process_results` or the built-in metrics, into items by metric.

A filter pipeline is applied to each repeat alone, unless it reduces the repeats to one result (majority_vote,
take_first_k): then its items are the document's and lie on the first repeat.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import Response
from assay_runner.metrics import choice
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.filters import strip_tags
from assay_runner.tasks.gold import gold_of, gold_texts
from assay_runner.tasks.hooks import Code, Hooks
from assay_runner.tasks.items import to_plain
from assay_runner.tasks.metric_list import MetricSpec, TaskMetric, metrics_of
from assay_runner.tasks.pipelines import Pipeline, pipelines

__all__ = ["MetricSpec", "Scored", "Scorer"]

_THINKING = (("<think>", "</think>"), ("<analysis>", "</analysis>"))


@dataclass(frozen=True, slots=True)
class _Question:
    """What answers are scored against."""

    number: int
    doc: Mapping[str, Any]
    target: Any
    choices: Sequence[str] | None


@dataclass(slots=True)
class Scored:
    """One repeat's scores, or why it has none."""

    filtered: dict[str, Any] = field(default_factory=dict)
    items: dict[str, Any] = field(default_factory=dict)
    error: TaskError | None = None


class Scorer:
    """The scoring of one task."""

    def __init__(self, config: TaskConfig, hooks: Hooks, code: Code) -> None:
        """
        Raises:
            SpecError: a metric, aggregation or filter is unknown or has wrong options.
        """
        self._config, self._hooks = config, hooks
        self._tags = _thinking_tags(config)
        self._pipelines = pipelines(config, code)
        self._metrics = metrics_of(config, code)
        self.metrics = tuple(
            metric.spec(pipeline.name, per_document=pipeline.reducing)
            for metric in self._metrics
            for pipeline in self._pipelines
        )
        self.mutual_information = any(metric.name == "acc_mutual_info" for metric in self._metrics)
        """Whether every choice is also scored after no question: as many requests again, behind the others."""

    def score(
        self,
        number: int,
        doc: Mapping[str, Any],
        target: Any,
        choices: Sequence[str] | None,
        responses: Sequence[Sequence[Response] | None],
    ) -> list[Scored]:
        """One result per repeat; `responses` are its answers, all good, or None where the repeat has failed.

        A reducing pipeline says something only about a document whose repeats have all been answered.
        """
        question = _Question(number, doc, target, choices)
        scored = [Scored() for _ in responses]
        if self._config.output_type != "generate_until":
            for repeat, (one, answers) in enumerate(zip(scored, responses, strict=True)):
                if answers is not None:
                    self._score_likelihoods(question, answers, repeat, one)
            return scored
        given = [None if answers is None else answers[0] for answers in responses]
        present = [answer for answer in given if answer is not None]
        for pipeline in self._pipelines:
            if not pipeline.reducing:
                for repeat, (one, answer) in enumerate(zip(scored, given, strict=True)):
                    if answer is not None and one.error is None:
                        self._score_texts(pipeline, question, [answer], repeat, one)
            elif len(present) == len(given):
                self._score_texts(pipeline, question, present, 0, scored[0])
        return scored

    def _text(self, answer: Response) -> str:
        return strip_tags(answer.text or "", self._tags)

    def _score_texts(
        self, pipeline: Pipeline, question: _Question, answers: Sequence[Response], repeat: int, into: Scored
    ) -> None:
        try:
            kept = pipeline.run(self._hooks, question.number, question.doc, [self._text(answer) for answer in answers])
            into.filtered[pipeline.name] = to_plain(kept, f"filter {pipeline.name}", tags=False)
            if self._config.process_results is not None:
                found = self._named(self._hooks.results(question.number, question.doc, [kept], repeat, answers))
            else:
                references = gold_texts(question.target, question.choices)
                found = {metric.name: self._item(metric, metric.item(kept, references)) for metric in self._metrics}
        except TaskError as error:
            into.error = error
            return
        into.items |= {f"{name}{pipeline.suffix}": item for name, item in found.items()}

    def _score_likelihoods(self, question: _Question, answers: Sequence[Response], repeat: int, into: Scored) -> None:
        try:
            found = self._likelihood_items(question, answers, repeat)
        except TaskError as error:
            into.error = error
            return
        for pipeline in self._pipelines:
            into.items |= {f"{name}{pipeline.suffix}": item for name, item in found.items()}

    def _likelihood_items(self, question: _Question, answers: Sequence[Response], repeat: int) -> dict[str, Any]:
        logprobs = [_logprob(answer) for answer in answers]
        if self._config.process_results is not None:
            pairs = [(logprob, bool(answer.greedy)) for logprob, answer in zip(logprobs, answers, strict=True)]
            return self._named(self._hooks.results(question.number, question.doc, list(pairs), repeat, answers))
        if question.choices is None:
            target, greedy = gold_texts(question.target, None), float(bool(answers[0].greedy))
            return {
                metric.name: self._item(metric, greedy if metric.name == "acc" else metric.item(logprobs[0], target))
                for metric in self._metrics
            }
        gold = gold_of(question.target, question.choices)
        try:
            given, alone = logprobs[: len(question.choices)], logprobs[len(question.choices) :]
            found = choice.score(given, [len(one) for one in question.choices], gold, alone or None)
        except ValueError as error:
            raise TaskError("TaskError", str(error)) from error
        found["exact_match"], chosen = found["acc"], choice.best(given)
        return {
            metric.name: self._item(metric, found[metric.name] if metric.name in found else metric.item(chosen, gold))
            for metric in self._metrics
        }

    def _named(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Items of the metrics that the task lists; a document may lack some of them."""
        return {metric.name: self._item(metric, found[metric.name]) for metric in self._metrics if metric.name in found}

    def _item(self, metric: TaskMetric, item: Any) -> Any:
        """The item as it is recorded. Mappings given to the mean stand for the number under `score_key`, as upstream;
        what the mean cannot take is this document's error and not one of the whole run."""
        if metric.aggregation != "mean":
            return to_plain(item, metric.name, tags=not isinstance(metric.aggregation, str))
        if isinstance(item, Mapping) and self._config.score_key in item:
            item = item[self._config.score_key]
        plain = to_plain(item, metric.name, tags=False)
        if not isinstance(plain, int | float) or not math.isfinite(plain):
            shown = str(item)[:60]
            raise TaskError("TaskError", f"the item of metric {metric.name} is {shown!r}, and its mean takes numbers")
        return plain


def _logprob(answer: Response) -> float:
    if answer.logprob is None or not math.isfinite(answer.logprob):
        raise TaskError("BadResponse", f"the backend gave {answer.logprob} as log-likelihood")
    return answer.logprob


def _thinking_tags(config: TaskConfig) -> tuple[tuple[str, str], ...]:
    tags: Any = config.reasoning_tags
    if tags is None:
        return _THINKING
    if tags in (False, "none"):
        return ()
    try:
        pairs = json.loads(tags) if isinstance(tags, str) else tags
        return tuple((str(start), str(end)) for start, end in pairs if start and end)
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"task {config.task}",
            "reasoning_tags",
            f"{tags!r} are no pairs of tags",
            "write [[<think>, </think>]], or none",
        ) from error
