"""Serves a worker's metrics to Prometheus and to the operator: how far the whole run is, and what this worker did.

Every scrape reads what the worker knows at that moment and asks the store nothing, so scraping costs the run nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from assay_api import exposition as names
from assay_api.errors import Failed
from assay_api.records import Progress
from assay_runner.work.meter import Durations
from assay_runner.work.worker import Worker

_STATES = get_args(Progress.model_fields["state"].annotation)
_STAGES = ("ask", "score", "commit")


@contextmanager
def serving(worker: Worker, port: int) -> Iterator[None]:
    """Serve the worker's metrics on `port` of every address, until the end of the block.

    Raises:
        Failed: the port is taken or not allowed.
    """
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(worker))
    # Both kinds of addresses where there are both: a pod may have only one of the newer kind.
    addr = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - a pod's own address
    try:
        server, thread = start_http_server(port, addr=addr, registry=registry)
    except OSError as error:
        raise Failed(f"Metrics cannot be served on port {port} ({error.strerror or error}).") from error
    try:
        yield
    finally:
        threading.Thread(target=server.shutdown, daemon=True).start()
        thread.join(1)


class WorkerMetrics(Collector):
    """A worker's metrics as they are when they are asked for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """All families; no label has more values than this file names, or `MOST_CLASSES`."""
        yield from self._run()
        yield from self._own()

    def _run(self) -> Iterator[Metric]:
        run = self._worker.run_figures()
        yield GaugeMetricFamily(names.SAMPLES, "Planned samples of the run.", run.samples)
        yield GaugeMetricFamily(names.SAMPLES_COMMITTED, "Samples with a committed record.", run.samples_committed)
        yield GaugeMetricFamily(names.CHUNKS, "Planned chunks of the run.", run.chunks)
        yield GaugeMetricFamily(names.CHUNKS_COMMITTED, "Chunks with a marker.", run.chunks_committed)
        yield GaugeMetricFamily(names.ERRORS, "Failed samples, as all workers report them.", run.errors)
        classes = GaugeMetricFamily(names.ERRORS_BY_CLASS, "The same by class.", labels=[names.CLASS])
        for name, count in sorted(run.error_classes.items()):
            classes.add_metric([name], count)
        yield classes
        yield GaugeMetricFamily(names.TOKENS_IN, "Prompt tokens, as all workers report them.", run.tokens_in)
        yield GaugeMetricFamily(names.TOKENS_OUT, "Generated tokens, as all workers report them.", run.tokens_out)
        yield GaugeMetricFamily(names.RETRIES, "Further tries of samples, as all workers report them.", run.retries)
        yield GaugeMetricFamily(
            names.ACCELERATOR_SECONDS,
            "Seconds from each worker's start to its last commit, times its accelerators.",
            run.accelerator_seconds,
        )
        yield GaugeMetricFamily(
            names.SAMPLES_PER_SECOND, "Sum of the rates of the workers that work.", run.samples_per_second
        )

    def _own(self) -> Iterator[Metric]:
        worker, tally = self._worker, self._worker.tally
        yield from self._passed()
        chunks = CounterMetricFamily("assay_worker_chunks", "Chunks that this worker finished.", labels=["outcome"])
        chunks.add_metric(["committed"], tally.chunks)
        chunks.add_metric(["discarded"], tally.discarded)
        yield chunks
        yield _histogram("assay_worker_commit_seconds", "Writing a chunk's data and marker.", tally.commit_seconds)
        yield GaugeMetricFamily("assay_worker_open_chunks", "Chunks under work.", len(worker.open))
        yield GaugeMetricFamily("assay_worker_in_flight", "Requests that the backend has.", worker.in_flight)
        depths = GaugeMetricFamily("assay_worker_queue_depth", "What waits before a stage.", labels=["stage"])
        waiting = worker.depths
        for stage in _STAGES:
            depths.add_metric([stage], waiting.get(stage, 0))
        yield depths
        yield GaugeMetricFamily("assay_worker_accelerators", "That this worker holds.", worker.accelerators)
        yield GaugeMetricFamily(
            "assay_worker_backend_away", "1 while the backend cannot answer.", float(worker.backend_away)
        )
        state = GaugeMetricFamily("assay_worker_state", "1 for the state this worker is in.", labels=["state"])
        for name in _STATES:
            state.add_metric([name], float(name == worker.state))
        yield state

    def _passed(self) -> Iterator[Metric]:
        meter = self._worker.meter
        yield CounterMetricFamily("assay_worker_samples", "Samples that this worker has done.", meter.samples)
        errors = CounterMetricFamily("assay_worker_errors", "Failed samples among them.", labels=[names.CLASS])
        for name, count in sorted(meter.errors.copy().items()):
            errors.add_metric([name], count)
        yield errors
        tokens = CounterMetricFamily("assay_worker_tokens", "Tokens of answered requests.", labels=["direction"])
        tokens.add_metric(["in"], meter.tokens_in)
        tokens.add_metric(["out"], meter.tokens_out)
        yield tokens
        yield CounterMetricFamily("assay_worker_retries", "Times that a request was sent again.", meter.retries)
        yield _histogram(
            "assay_worker_request_seconds", "From sending a request to its complete answer.", meter.requests
        )


def _histogram(name: str, documentation: str, durations: Durations) -> Metric:
    family = HistogramMetricFamily(name, documentation)
    family.add_metric([], durations.cumulative(), durations.total)
    return family
