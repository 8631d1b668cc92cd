"""Scores one document: filters, then the task's `process_results` or the built-in metrics, into items by metric.

A filter pipeline is applied to each repeat alone, unless it reduces the repeats to one result (majority_vote,
take_first_k): then its items are the document's and lie on the first repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import Response
from assay_runner.metrics import choice, registry
from assay_runner.statistics import aggregations
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.filters import BUILT_IN, REDUCING, Filter, strip_tags
from assay_runner.tasks.hooks import Code, Hooks
from assay_runner.tasks.items import to_plain
from assay_runner.tasks.yaml import FunctionRef

_DEFAULTS = {
    "generate_until": ("exact_match",),
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
}
_OPTIONS_OF_OURS = frozenset({"metric", "aggregation", "higher_is_better", "weight_by_size", "hf_evaluate"})
_THINKING = (("<think>", "</think>"), ("<analysis>", "</analysis>"))


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One figure the reducer computes: items under (`metric`, `filter`) through `aggregation`."""

    metric: str
    filter: str
    aggregation: str | Callable[..., Any]
    higher_is_better: bool
    per_document: bool = False
    """Items are scores of whole documents, not of repeats."""
    pure: bool = True
    """Whether the aggregation may be called many times; one that takes `args` may write files or ask a judge."""


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    score: Callable[..., Any] | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Pipeline:
    name: str
    filters: tuple[tuple[str, Filter, FunctionRef | None], ...]
    reducing: bool = field(default=False)


class Scorer:
    """The scoring of one task."""

    def __init__(self, config: TaskConfig, hooks: Hooks, code: Code) -> None:
        """
        Raises:
            SpecError: a metric, aggregation or filter is unknown or has wrong options.
        """
        self._config, self._hooks, self._code = config, hooks, code
        self._tags = _thinking_tags(config)
        self._pipelines = tuple(self._pipeline(entry) for entry in config.filter_list or ())
        if not self._pipelines:
            self._pipelines = (_Pipeline("none", ()),)
        entries = config.metric_list or [{"metric": name} for name in _DEFAULTS[config.output_type]]
        self._metrics = tuple(self._metric(entry) for entry in entries)
        self._means = {str(entry.get("metric")) for entry in entries if entry.get("aggregation", "mean") == "mean"}
        self.metrics = tuple(
            self._spec(metric, entry, pipeline)
            for metric, entry in zip(self._metrics, entries, strict=True)
            for pipeline in self._pipelines
        )

    def score(
        self,
        number: int,
        doc: Mapping[str, Any],
        target: Any,
        choices: Sequence[str] | None,
        responses: Sequence[Sequence[Response]],
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Per repeat (filtered answer by filter, item by metric and filter); every response is a good one.

        Raises:
            TaskError: a filter, `process_results` or a metric failed.
        """
        scored: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}) for _ in responses]
        if self._config.output_type != "generate_until":
            for (_, items), answers in zip(scored, responses, strict=True):
                items.update(self._score_likelihoods(number, doc, target, choices, answers))
            return scored
        texts = [strip_tags(answers[0].text or "", self._tags) if self._tags else answers[0].text or "" for answers in responses]
        for pipeline in self._pipelines:
            suffix = "" if pipeline.name == "none" else f",{pipeline.name}"
            groups = [texts] if pipeline.reducing else [[text] for text in texts]
            for (filtered, items), answers in zip(scored, groups, strict=False):
                kept = self._filter(pipeline, number, doc, answers)
                filtered[pipeline.name] = to_plain(kept, f"filter {pipeline.name}")
                found = self._score_text(number, doc, target, choices, kept)
                items.update({f"{name}{suffix}": item for name, item in found.items()})
        return scored

    def _score_text(
        self, number: int, doc: Mapping[str, Any], target: Any, choices: Sequence[str] | None, kept: Any
    ) -> dict[str, Any]:
        if self._config.process_results is not None:
            return self._named(self._hooks.results(number, doc, [kept]))
        references = choices[target] if choices is not None and type(target) is int and target < len(choices) else target
        return {
            metric.name: to_plain(_scored(metric, kept, _references(references)), metric.name) for metric in self._metrics
        }

    def _score_likelihoods(
        self, number: int, doc: Mapping[str, Any], target: Any, choices: Sequence[str] | None, answers: Sequence[Response]
    ) -> dict[str, Any]:
        logprobs = [_logprob(answer) for answer in answers]
        if self._config.process_results is not None:
            pairs = [(logprob, bool(answer.greedy)) for logprob, answer in zip(logprobs, answers, strict=True)]
            return self._named(self._hooks.results(number, doc, list(pairs)))
        if choices is None:
            return {metric.name: _likelihood_item(metric, logprobs[0], answers[0], target) for metric in self._metrics}
        gold = _gold(target, choices)
        try:
            found = choice.score(logprobs, [len(one) for one in choices], gold)
        except ValueError as error:
            raise TaskError("TaskError", str(error)) from error
        chosen = choice.best(logprobs)
        items = {}
        for metric in self._metrics:
            if metric.name in found:
                items[metric.name] = to_plain(found[metric.name], metric.name)
            elif metric.name == "exact_match":
                items[metric.name] = float(chosen in ([gold] if isinstance(gold, int) else gold))
            else:
                items[metric.name] = to_plain(_scored(metric, chosen, gold), metric.name)
        return items

    def _named(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Items of the metrics that the task lists; a document may lack some of them."""
        return {
            metric.name: to_plain(self._number(metric, found[metric.name]), metric.name)
            for metric in self._metrics
            if metric.name in found
        }

    def _number(self, metric: _Metric, item: Any) -> Any:
        """Upstream's rule for mappings given to the mean: the number under `score_key`."""
        means = metric.name in self._means and isinstance(item, Mapping) and self._config.score_key in item
        return item[self._config.score_key] if means else item

    def _filter(self, pipeline: _Pipeline, number: int, doc: Mapping[str, Any], answers: list[str]) -> Any:
        kept: list[Any] = [list(answers)]
        for name, step, reference in pipeline.filters:
            current = kept

            def apply(step: Filter = step, current: list[Any] = current) -> list[Any]:
                return list(step.apply(current, [dict(doc)]))

            if reference is not None:
                kept = self._hooks.filtered(name, reference, apply, number)
            else:
                try:
                    kept = apply()
                except (TypeError, ValueError, LookupError, AttributeError) as error:
                    raise TaskError("TaskError", f"filter {name} failed: {error}") from error
        result = kept[0]
        if isinstance(result, list) and not any(name == "take_first_k" for name, _, _ in pipeline.filters):
            return result[0] if result else ""
        return result

    def _pipeline(self, entry: Mapping[str, Any]) -> _Pipeline:
        name = str(entry.get("name", "none"))
        steps = []
        for wanted in entry.get("filter") or ():
            function = wanted.get("function")
            options = {key: value for key, value in wanted.items() if key not in ("function", "kwargs")}
            options |= wanted.get("kwargs") or {}
            reference = function if isinstance(function, FunctionRef) else None
            factory = self._code.find(reference) if reference else BUILT_IN.get(str(function))
            label = reference.name if reference else str(function)
            if factory is None:
                raise SpecError(
                    f"task {self._config.task}", f"filter_list.{name}", f"there is no filter {label!r}",
                    f"known filters are: {', '.join(sorted(BUILT_IN))}",
                )
            try:
                steps.append((label, factory(**options), reference))
            # A filter class of the task's own raises whatever it raises.
            except Exception as error:
                raise SpecError(
                    f"task {self._config.task}", f"filter_list.{name}", f"filter {label} cannot be made ({error})",
                    "correct its options",
                ) from error
        reducing = self._config.repeats > 1 and any(label in REDUCING for label, _, _ in steps)
        return _Pipeline(name, tuple(steps), reducing)

    def _metric(self, entry: Mapping[str, Any]) -> _Metric:
        wanted = entry.get("metric")
        options = {key: value for key, value in entry.items() if key not in _OPTIONS_OF_OURS}
        if isinstance(wanted, FunctionRef):
            name = wanted.name.rpartition(".")[2]
            function, folder = self._code.find(wanted), self._code.folder(wanted)

            def score(prediction: Any, references: Any, **given: Any) -> Any:
                return folder.call(name, lambda: function(references=[references], predictions=[prediction], **given), (), 0)

            return _Metric(name, score, options)
        name = str(wanted)
        if self._config.process_results is not None:
            return _Metric(name, None, options)
        if name not in registry.names():
            raise SpecError(
                f"task {self._config.task}", "metric_list", f"there is no metric {name!r} and no process_results to give it",
                f"known metrics are: {', '.join(registry.names())}",
            )
        metric = _Metric(name, registry.get(name).score, options)
        self._try_options(metric)
        return metric

    def _try_options(self, metric: _Metric) -> None:
        if self._config.output_type != "generate_until" or not metric.options:
            return
        try:
            _scored(metric, "", "x")
        except TaskError as error:
            raise SpecError(
                f"task {self._config.task}", f"metric_list.{metric.name}", error.message, "correct or remove the option"
            ) from error

    def _spec(self, metric: _Metric, entry: Mapping[str, Any], pipeline: _Pipeline) -> MetricSpec:
        known = registry.get(metric.name) if metric.name in registry.names() else None
        wanted = entry.get("aggregation") or (known.aggregation if known else "mean")
        pure = True
        if isinstance(wanted, FunctionRef):
            wanted, pure = self._aggregation(wanted)
        elif wanted not in aggregations.names():
            raise SpecError(
                f"task {self._config.task}", f"metric_list.{metric.name}.aggregation", f"there is no aggregation {wanted!r}",
                f"known ones are: {', '.join(aggregations.names())}",
            )
        higher = entry.get("higher_is_better")
        return MetricSpec(
            metric=metric.name,
            filter=pipeline.name,
            aggregation=wanted,
            higher_is_better=bool(higher) if higher is not None else known.higher_is_better if known else True,
            per_document=pipeline.reducing,
            pure=pure,
        )

    def _aggregation(self, reference: FunctionRef) -> tuple[Callable[..., Any], bool]:
        from assay_runner.tasks.aggregate import own_aggregation

        return own_aggregation(self._code, reference, self._config.task)


def _scored(metric: _Metric, prediction: Any, references: Any) -> Any:
    assert metric.score is not None
    options = {("threshold" if key == "thresh_hold" else key): value for key, value in metric.options.items()}
    try:
        return metric.score(prediction, references, **options)
    except (TypeError, ValueError) as error:
        raise TaskError("TaskError", f"metric {metric.name}: {error}") from error


def _references(target: Any) -> Any:
    if isinstance(target, list):
        return [str(one) for one in target]
    return "" if target is None else str(target)


def _likelihood_item(metric: _Metric, logprob: float, answer: Response, target: Any) -> Any:
    if metric.name == "acc":
        return float(bool(answer.greedy))
    return to_plain(_scored(metric, logprob, str(target)), metric.name)


def _logprob(answer: Response) -> float:
    if answer.logprob is None:
        raise TaskError("BadResponse", "the backend gave no log-likelihood")
    return answer.logprob


def _gold(target: Any, choices: Sequence[str]) -> int | list[int]:
    if isinstance(target, list):
        return [_gold_index(one, choices) for one in target]
    return _gold_index(target, choices)


def _gold_index(target: Any, choices: Sequence[str]) -> int:
    if isinstance(target, bool):
        target = int(target)
    if isinstance(target, int):
        return target
    if str(target) in choices:
        return list(choices).index(str(target))
    raise TaskError("TaskError", f"the target {str(target)[:60]!r} is none of the choices")


def _thinking_tags(config: TaskConfig) -> tuple[tuple[str, str], ...]:
    tags = config.reasoning_tags
    if tags is None:
        return _THINKING
    if isinstance(tags, str):
        return () if tags == "none" else _THINKING
    return tuple((pair[0], pair[1]) for pair in tags)
