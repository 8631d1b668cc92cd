"""Which metrics a task has: its `metric_list` checked, with upstream's defaults, before any document is scored.

A metric is refused where it cannot mean anything (a perplexity of generated text), so that no figure comes out under a
name it does not deserve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError
from assay_runner.metrics import registry
from assay_runner.statistics import aggregations
from assay_runner.tasks.aggregate import own_aggregation
from assay_runner.tasks.config import TaskConfig
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.hooks import Code
from assay_runner.tasks.yaml import FunctionRef

_DEFAULTS = {
    "generate_until": ("exact_match",),
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
}
_OF_LIKELIHOODS = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"}
_OF_CHOICES = {"acc", "acc_norm", "acc_mutual_info", "brier_score", "exact_match", "f1", "mcc", "bypass"}
_OF_TEXT = {*registry.names()} - _OF_LIKELIHOODS - {"acc_norm", "acc_mutual_info", "acc_all", "brier_score"}
_KNOWN = {
    "generate_until": _OF_TEXT,
    "multiple_choice": _OF_CHOICES,
    "loglikelihood": {*_OF_LIKELIHOODS, "acc", "bypass"},
}
_NO_OPTIONS = frozenset({"metric", "aggregation", "higher_is_better", "weight_by_size", "hf_evaluate"})
_SPELLED = {"thresh_hold": "threshold"}


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
class TaskMetric:
    """How one document is scored by one metric."""

    name: str
    score: Callable[..., Any] | None
    """(prediction, references, **options) → item; None where `process_results` gives the items."""
    options: Mapping[str, Any]
    aggregation: str | Callable[..., Any]
    higher_is_better: bool
    pure: bool

    @property
    def tags(self) -> bool:
        """Whether items must reach the aggregation exactly as they were: those of Assay read plain JSON."""
        return not isinstance(self.aggregation, str)

    def item(self, prediction: Any, references: Any) -> Any:
        """The item of a built-in metric.

        Raises:
            TaskError: prediction and references do not fit the metric.
        """
        assert self.score is not None
        try:
            return self.score(prediction, references, **self.options)
        except (TypeError, ValueError) as error:
            raise TaskError("TaskError", f"metric {self.name}: {error}") from error

    def spec(self, filtered: str, *, per_document: bool) -> MetricSpec:
        """What the reducer computes of the metric's items behind a filter."""
        return MetricSpec(self.name, filtered, self.aggregation, self.higher_is_better, per_document, self.pure)


def metrics_of(config: TaskConfig, code: Code) -> tuple[TaskMetric, ...]:
    """The metrics of a task, in its file's order.

    Raises:
        SpecError: a metric, an aggregation or an option is unknown or does not fit the task.
    """
    entries: Sequence[Mapping[str, Any]] = config.metric_list or [
        {"metric": name} for name in _DEFAULTS[config.output_type]
    ]
    metrics = tuple(_metric(entry, config, code) for entry in entries)
    names = [metric.name for metric in metrics]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise _error(config, doubled, "the metric is listed twice", "list it once")
    return metrics


def _metric(entry: Mapping[str, Any], config: TaskConfig, code: Code) -> TaskMetric:
    wanted = entry.get("metric")
    if not isinstance(wanted, str | FunctionRef):
        raise _error(config, "", f"{entry!r} names no metric", "write `- metric: NAME`")
    own = isinstance(wanted, FunctionRef)
    name = wanted.name.rpartition(".")[2] if isinstance(wanted, FunctionRef) else wanted
    known = registry.get(name) if not own and name in registry.names() else None
    options = {_SPELLED.get(key, key): value for key, value in entry.items() if key not in _NO_OPTIONS}
    score: Callable[..., Any] | None = None
    if config.process_results is None:
        score = _own_score(wanted, name, code) if isinstance(wanted, FunctionRef) else _built_in(name, config)
    aggregation, pure = _aggregation(entry.get("aggregation") or (known.aggregation if known else "mean"), config, code)
    higher = entry.get("higher_is_better")
    if higher is None:
        higher = known.higher_is_better if known else True
    metric = TaskMetric(name, score, options, aggregation, bool(higher), pure)
    if known and score and options and config.output_type == "generate_until":
        _try_options(metric, config)
    return metric


def _built_in(name: str, config: TaskConfig) -> Callable[..., Any]:
    known = _KNOWN[config.output_type]
    if name not in known:
        problem = f"there is no metric {name!r} for {config.output_type}, and no process_results to give it"
        raise _error(config, name, problem, f"known metrics are: {', '.join(sorted(known))}")
    return registry.get(name).score


def _own_score(reference: FunctionRef, name: str, code: Code) -> Callable[..., Any]:
    function, folder = code.find(reference), code.folder(reference)

    def score(prediction: Any, references: Any, **options: Any) -> Any:
        def call() -> Any:
            return function(references=[references], predictions=[prediction], **options)

        found = folder.call(f"metric {name}", call, (), 0)
        return found[name] if isinstance(found, Mapping) and name in found else found

    return score


def _aggregation(wanted: Any, config: TaskConfig, code: Code) -> tuple[str | Callable[..., Any], bool]:
    if isinstance(wanted, FunctionRef):
        return own_aggregation(code, wanted, config.task)
    if wanted not in aggregations.names():
        problem = f"there is no aggregation {wanted!r}"
        raise _error(config, "aggregation", problem, f"known ones are: {', '.join(aggregations.names())}")
    return str(wanted), True


def _try_options(metric: TaskMetric, config: TaskConfig) -> None:
    try:
        metric.item("x", "x")
    except TaskError as error:
        raise _error(config, metric.name, error.message, "correct or remove the option") from error


def _error(config: TaskConfig, about: str, problem: str, remedy: str) -> SpecError:
    field = f"metric_list.{about}" if about else "metric_list"
    return SpecError(f"task {config.task}", field, problem, remedy)
