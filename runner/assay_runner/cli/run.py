"""`assay run FILE`: plan, work and reduce on this machine. Run again, it resumes; finished, it shows what came out."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time

from assay_api import layout
from assay_api.backends import BackendName
from assay_api.errors import EXIT_DONE, EXIT_STOPPED, Failed
from assay_api.evaljob import EvalJob
from assay_runner.cli import garbage
from assay_runner.cli.prepare import Prepared, prepare
from assay_runner.cli.progress import Display, Watch
from assay_runner.cli.results import show
from assay_runner.cli.supervise import Supervisor
from assay_runner.cli.worker_process import LOCAL
from assay_runner.cores import usable_cores
from assay_runner.duration import duration
from assay_runner.gates.on_demand import judge_run
from assay_runner.plan.write import committing_store
from assay_runner.reduce.reducer import reduce_run
from assay_runner.reduce.scanners import Scanners, scanners_for
from assay_runner.reduce.verdicts import stored_gates
from assay_runner.store.base import NotFoundInStore
from assay_runner.work.board import read_progress

_IN_FLIGHT = 32
"""Requests in flight that keep one process busy at an endpoint that answers within some twenty milliseconds."""


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the results, and return the exit code, which tells the verdicts on gates.

    Raises:
        Failed: working failed; the exit code is that of the worker that decided it.
        AssayError: planning or reducing failed.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Supervisor() as supervisor:
        return _run(options, supervisor, started)


def _run(options: argparse.Namespace, supervisor: Supervisor, started: float) -> int:
    prepared = prepare(options, lambda job: supervisor.start_ahead(options.workers or _workers_at_first(job)))
    if _finished(prepared):
        _say(f"This run is already complete: {prepared.uri}")
        return _show(prepared, as_json=options.json)
    workers = options.workers or _default_workers(prepared)
    plan = prepared.plan
    _say(f"{plan.job}: {plan.samples:,} samples in {plan.chunks} chunks, {workers} worker{'s' * (workers > 1)}")
    _say(f"run: {prepared.uri}")
    if prepared.probed.mode == "fallback":
        _say(f"storage: fallback, since creations are not exclusive here (docs/storage.md). {prepared.probed.reason}")
    prepared.store.put(layout.PLACEMENT, prepared.placement.model_copy(update={"workers": workers}).encode())
    try:
        _work(prepared, workers, supervisor)
    except KeyboardInterrupt:
        _say(f"stopped; {_how_to_resume(options)}")
        return EXIT_STOPPED
    except Failed:
        _say(_how_to_resume(options))
        raise
    garbage.seldom()
    store, probed = committing_store(prepared.store)
    with Scanners(scanners_for(plan.samples)) as scanners:
        wall = time.monotonic() - started
        reduce_run(prepared.root, store, probed, judge_run, scanners=scanners, wall_seconds=wall)
    _say(f"done in {duration(time.monotonic() - started)}")
    return _show(prepared, as_json=options.json)


def _show(prepared: Prepared, *, as_json: bool) -> int:
    code = show(prepared.store, prepared.uri, as_json=as_json)
    if as_json and (gates := stored_gates(prepared.store)):
        sys.stdout.buffer.write(gates.encode())
        sys.stdout.buffer.flush()
    return code


def _work(prepared: Prepared, workers: int, supervisor: Supervisor) -> None:
    _forget_the_dead(prepared)
    live = sys.stderr.isatty()
    with Display(Watch(prepared.store, prepared.plan), live=live) as display:
        ending = supervisor.run(prepared.uri, workers, display.tick, display.note)
    if ending.code != EXIT_DONE:
        error = Failed(ending.message)
        error.exit_code = ending.code
        raise error


def _forget_the_dead(prepared: Prepared) -> None:
    """Reports of an earlier `assay run` would keep the new workers from its open chunks until they look stale."""
    for report in list(read_progress(prepared.store)):
        if report.worker.startswith(LOCAL):
            stopped = report.model_copy(update={"state": "stopped", "open": ()})
            prepared.store.put(layout.progress(report.worker), stopped.encode())


def _finished(prepared: Prepared) -> bool:
    """Whether what is written last is there."""
    try:
        prepared.store.get(layout.GATES if prepared.plan.gates else layout.RESULTS)
    except NotFoundInStore:
        return False
    return True


def _workers_at_first(job: EvalJob) -> int:
    """As many as `_default_workers` says in the end, or fewer where that needs the plan: they start while it is made."""
    endpoint = job.spec.model.endpoint
    return _for_endpoint(endpoint.max_concurrency) if endpoint else 1


def _for_endpoint(in_flight: int) -> int:
    return min(usable_cores(), -(-in_flight // _IN_FLIGHT))


def _default_workers(prepared: Prepared) -> int:
    """As many as machine and target can use: for an endpoint one per 32 requests in flight and no more than cores, one per
    pinned number of threads on CPU, one for an accelerator."""
    cores = usable_cores()
    pins = prepared.plan.model.pins
    if prepared.plan.model.backend == BackendName.OPENAI:
        wanted = _for_endpoint(prepared.placement.max_concurrency)
    elif str(pins.get("device", "cpu")).startswith("cpu"):
        wanted = max(1, cores // int(pins.get("threads") or cores))
    else:
        wanted = 1
    return min(wanted, prepared.plan.chunks)


def _how_to_resume(options: argparse.Namespace) -> str:
    return f"what was committed is kept. Resume with:\n  assay run {_again(options)}"


def _again(options: argparse.Namespace) -> str:
    parts = [options.file]
    for name in ("store", "limit", "workers"):
        if getattr(options, name):
            parts += [f"--{name}", str(getattr(options, name))]
    return shlex.join(parts)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
