"""Serves a worker's metrics to Prometheus and to the operator: how far the whole run is, and what this worker did.

Every scrape reads what the worker knows at that moment and asks the store nothing, so scraping costs the run nothing.
"""

from __future__ import annotations

import socket
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from assay_api import exposition as names
from assay_api.errors import Failed
from assay_api.records import Progress
from assay_runner.work.worker import Worker

_STATES = get_args(Progress.model_fields["state"].annotation)
_COMMIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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
        """All families; no label has more values than this file names."""
        yield from self._run()
        yield from self._own()

    def _run(self) -> Iterator[Metric]:
        run = self._worker.run_figures()
        yield GaugeMetricFamily(names.SAMPLES, "Planned samples of the run.", run.samples)
        yield GaugeMetricFamily(names.SAMPLES_COMMITTED, "Samples with a committed record.", run.samples_committed)
        yield GaugeMetricFamily(names.CHUNKS, "Planned chunks of the run.", run.chunks)
        yield GaugeMetricFamily(names.CHUNKS_COMMITTED, "Chunks with a marker.", run.chunks_committed)
        yield GaugeMetricFamily(names.ERRORS, "Failed samples, as all workers report them.", run.errors)
        yield GaugeMetricFamily(names.TOKENS_IN, "Prompt tokens, as all workers report them.", run.tokens_in)
        yield GaugeMetricFamily(names.TOKENS_OUT, "Generated tokens, as all workers report them.", run.tokens_out)
        yield GaugeMetricFamily(
            names.SAMPLES_PER_SECOND, "Sum of the rates of the workers that work.", run.samples_per_second
        )

    def _own(self) -> Iterator[Metric]:
        tally = self._worker.tally
        yield CounterMetricFamily("assay_worker_samples", "Samples that this worker committed.", tally.samples)
        yield CounterMetricFamily("assay_worker_errors", "Failed samples among them.", tally.errors)
        tokens = CounterMetricFamily("assay_worker_tokens", "Tokens of committed samples.", labels=["direction"])
        tokens.add_metric(["in"], tally.tokens_in)
        tokens.add_metric(["out"], tally.tokens_out)
        yield tokens
        chunks = CounterMetricFamily("assay_worker_chunks", "Chunks that this worker finished.", labels=["outcome"])
        chunks.add_metric(["committed"], tally.chunks)
        chunks.add_metric(["discarded"], tally.discarded)
        yield chunks
        yield GaugeMetricFamily("assay_worker_open_chunks", "Chunks under work.", len(self._worker.open))
        state = GaugeMetricFamily("assay_worker_state", "1 for the state this worker is in.", labels=["state"])
        for name in _STATES:
            state.add_metric([name], float(name == self._worker.state))
        yield state
        yield _histogram("assay_worker_commit_seconds", "Writing a chunk's data and marker.", tally.commit_seconds[:])


def _histogram(name: str, documentation: str, values: list[float]) -> Metric:
    counts = [0] * (len(_COMMIT_BUCKETS) + 1)
    for value in values:
        counts[bisect_left(_COMMIT_BUCKETS, value)] += 1
    cumulative = [sum(counts[: place + 1]) for place in range(len(counts))]
    bounds = [*map(str, _COMMIT_BUCKETS), "+Inf"]
    family = HistogramMetricFamily(name, documentation)
    family.add_metric([], list(zip(bounds, cumulative, strict=True)), sum(values))
    return family
