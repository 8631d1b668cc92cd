"""The metrics of EvalJobs, made anew at each scrape from what is kept of them: a job that is gone has no series.

A job that has ended keeps its last numbers for a while, so that every Prometheus has seen them, and from then on has its phase,
its model and what came out: the number of series of thousands of finished jobs stays small.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from assay_operator.evaljob_view import EvalJobView
from assay_operator.watched import Key

SETTLING = 600.0
"""Seconds for which a job that has ended keeps the numbers of its way."""

_JOB = ("namespace", "evaljob")
Rows = Iterable[tuple[tuple[str, ...], float]]
_Jobs = list[tuple[Key, EvalJobView]]


class JobMetrics:
    """The exposition of EvalJobs. To be used from one thread at a time."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives seconds since 1970."""
        self._now = now
        self._heads = _blocks(_Families([], []), keep=2)
        self._ended: dict[Key, tuple[EvalJobView, bool, bytes]] = {}
        """What was rendered of jobs that have ended, packed, and whether with their numbers: it is the same at each scrape."""

    def render(self, jobs: Mapping[Key, EvalJobView]) -> bytes:
        """All families, also those without series."""
        latest = self._now() - SETTLING
        ended, parts = {}, []
        for key, job in jobs.items():
            going = [] if job.has_ended and (job.ended or 0.0) <= latest else [(key, job)]
            known = self._ended.get(key)
            if known is not None and known[0] is job and known[1] == bool(going):
                ended[key] = known
                parts.append(_unpacked(known[2]))
                continue
            parts.append(_blocks(_Families([(key, job)], going)))
            if job.has_ended:
                ended[key] = (job, bool(going), _packed(parts[-1]))
        self._ended = ended
        return b"".join("".join(family).encode() for family in zip(self._heads, *parts, strict=True))


class _Families(Collector):
    def __init__(self, jobs: _Jobs, going: _Jobs) -> None:
        """`going` are those of `jobs` whose numbers are told too."""
        self._jobs, self._going = jobs, going

    def collect(self) -> Iterator[Metric]:
        jobs, going = self._jobs, self._going
        yield _family("phase", "1 for the phase that the EvalJob is in.", "phase", _phases(jobs))
        info = GaugeMetricFamily("assay_job_info", "1, with the model.", labels=[*_JOB, "backend", "model"])
        for key, job in jobs:
            info.add_metric([*key, job.backend, job.model], 1)
        yield info
        failures = [((*key, job.failure), 1.0) for key, job in jobs if job.failure]
        yield _family("failure", "1 for an EvalJob that has failed, with the reason.", "reason", failures)
        yield from _outcomes(jobs)
        yield from _times(jobs, going)
        yield from _numbers(going)


def _blocks(families: _Families, keep: int = 0) -> list[str]:
    """Of each family its lines; of the two that describe it, the first `keep`."""
    registry = CollectorRegistry()
    registry.register(families)
    # A label's value holds no line break, so the words stand for themselves only at the beginning of a line.
    parts = f"\n{generate_latest(registry).decode()}".split("\n# HELP ")[1:]
    lines = [f"# HELP {part}".removesuffix("\n").split("\n") for part in parts]
    return ["".join(f"{line}\n" for line in (*block[:keep], *block[2:])) for block in lines]


def _packed(blocks: list[str]) -> bytes:
    """A tenth of the memory: names and labels come again and again."""
    return zlib.compress(json.dumps(blocks).encode(), 1)


def _unpacked(packed: bytes) -> list[str]:
    blocks: list[str] = json.loads(zlib.decompress(packed))
    return blocks


def gauge(name: str, documentation: str, labels: Sequence[str], rows: Rows) -> Metric:
    """A family of gauges from rows of label values and a number."""
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _family(name: str, documentation: str, label: str | None, rows: Rows) -> Metric:
    return gauge(f"assay_job_{name}", documentation, [*_JOB, label] if label else _JOB, rows)


def _phases(jobs: _Jobs) -> Rows:
    return (((*key, job.phase), 1.0) for key, job in jobs)


def _outcomes(jobs: _Jobs) -> Iterator[Metric]:
    labels = [*_JOB, "task", "metric"]
    value = GaugeMetricFamily("assay_job_score", "Headline result.", labels=labels)
    low = GaugeMetricFamily("assay_job_score_low", "Lower end of its 95 % interval.", labels=labels)
    high = GaugeMetricFamily("assay_job_score_high", "Upper end of its 95 % interval.", labels=labels)
    for key, job in jobs:
        for row in job.scores:
            place = [*key, row.task, row.metric]
            value.add_metric(place, row.value)
            if row.low is not None and row.high is not None:
                low.add_metric(place, row.low)
                high.add_metric(place, row.high)
    yield from (value, low, high)
    gates = (((*key, gate), float(verdict)) for key, job in jobs for gate, verdict in job.gates)
    yield _family("gate", "1 when the gate was passed, 0 when not, -1 when it cannot be told.", "gate", gates)


def _times(jobs: _Jobs, going: _Jobs) -> Iterator[Metric]:
    def at(name: str, documentation: str, jobs: _Jobs, time: Callable[[EvalJobView], float | None]) -> Metric:
        rows = ((key, found) for key, job in jobs if (found := time(job)) is not None)
        return _family(f"{name}_time_seconds", documentation, None, rows)

    yield at("start", "When it started, or was resumed.", going, lambda job: job.started)
    yield at("progress", "When it last got on.", going, lambda job: job.moved)
    yield at("completion", "When it ended, well or not.", jobs, lambda job: job.ended)


def _numbers(going: _Jobs) -> Iterator[Metric]:
    told = [(key, job.numbers) for key, job in going if job.numbers]
    for name, documentation in (
        ("samples", "Planned samples."),
        ("samples_done", "Samples with a committed record."),
        ("chunks", "Planned chunks."),
        ("chunks_committed", "Committed chunks."),
        ("errors", "Samples that failed."),
        ("retries", "Further tries of samples."),
        ("accelerator_seconds", "Seconds from each worker's start to its last commit, times its accelerators."),
        ("samples_per_second", "Rate of late."),
    ):
        yield _family(name, documentation, None, ((key, getattr(numbers, name)) for key, numbers in told))
    preempted = ((key, numbers.preempted) for key, numbers in told)
    yield _family("preemptions", "Work pods that were evicted or lost and replaced.", None, preempted)
    classes = (((*key, kind), count) for key, numbers in told for kind, count in numbers.error_classes)
    yield _family("errors_by_class", "Samples that failed, by class.", "class", classes)
    tokens = (
        ((*key, direction), count)
        for key, numbers in told
        for direction, count in (("in", numbers.tokens_in), ("out", numbers.tokens_out))
    )
    yield _family("tokens", "Tokens of committed samples.", "direction", tokens)
    workers = (
        ((*key, state), getattr(numbers, state))
        for key, numbers in told
        for state in ("active", "waiting", "succeeded", "failed")
    )
    yield _family("workers", "Work pods by state.", "state", workers)
