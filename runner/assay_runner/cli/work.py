"""`assay work RUN`: one worker process, from nothing but the run's address."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from assay_api import layout
from assay_api.backends import BackendName
from assay_api.errors import EXIT_DONE, AssayError, SpecError
from assay_runner.backends.base import Backend
from assay_runner.backends.registry import open_backend
from assay_runner.cli import garbage
from assay_runner.cli.cache import model_cache
from assay_runner.cli.report import ended, write_report
from assay_runner.cores import usable_cores
from assay_runner.data.media_cache import MediaCache
from assay_runner.plan.write import committing_store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.work.beside import planned_server
from assay_runner.work.settings import WorkerSettings
from assay_runner.work.setup import model_context, read_placement, read_plan, set_threads
from assay_runner.work.stage import Stage, open_stages
from assay_runner.work.worker import Worker

_SWITCH = 0.0005
"""Seconds after which task code in its thread lets the event loop go on: an answer that waits is a request not sent."""


def work(options: argparse.Namespace) -> int:
    """Work until every chunk is committed; SIGTERM and SIGINT end it early with exit code 75."""
    scratch = Path(tempfile.mkdtemp(prefix="assay-work-"))
    try:
        return _work(options, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _work(options: argparse.Namespace, scratch: Path) -> int:
    uri, prefix = layout.split_run(options.run)
    root = open_store(uri, None)
    store, _ = committing_store(Prefixed(root, prefix))
    plan, placement = read_plan(store), read_placement(store)
    server = planned_server(plan, os.environ)
    cores, cache = usable_cores(), model_cache(options, os.environ)
    set_threads(plan.model.pins, cores, os.environ)
    settings = WorkerSettings(
        worker=options.worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        index=options.index,
        workers=options.of or placement.workers,
        grace=options.grace,
    )

    def stages() -> dict[str, Stage]:
        # Scratch of a pod counts against its limits; its cache is a volume, and a laptop has a disk.
        keeps = uri.startswith("s3:") and (options.cache or options.parent)
        return open_stages(plan, root, scratch, MediaCache(cache.folder / "media") if keeps else None)

    def backend() -> Backend:
        context = model_context(
            plan,
            placement,
            settings,
            cores=cores,
            api_key=os.environ.get("OPENAI_API_KEY"),
            model=options.model,
            cache=cache,
            live=lambda: worker.live,
            server=server,
        )
        return open_backend(plan.model.backend, context)

    def say(line: str) -> None:
        print(f"{settings.worker}: {line}", file=sys.stderr, flush=True)

    worker = Worker(store, settings, plan=plan, stages=stages, backend=backend, say=say)

    def leave(error: Exception | None) -> None:
        """End the process at once if threads of backend or task code still run: nothing can stop them, and what they do
        counts for nothing any more."""
        if worker.abandoned:
            shutil.rmtree(scratch, ignore_errors=True)
            _exit(options, error)

    with _metrics(worker, options.metrics_port):
        _run(plan.model.backend, _until_done(worker, options.parent, leave))
    return EXIT_DONE


def _run(backend: str, work: Coroutine[Any, Any, None]) -> None:
    """An endpoint's requests spend much of their time in the event loop: the faster one is used where there is one."""
    garbage.seldom()
    if backend == BackendName.OPENAI and find_spec("uvloop"):
        import uvloop

        sys.setswitchinterval(_SWITCH)
        uvloop.run(work)
    else:
        asyncio.run(work)


async def _until_done(worker: Worker, parent: int | None, leave: Callable[[Exception | None], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    watching = asyncio.create_task(_watch(worker, parent)) if parent else None
    try:
        await worker.run()
        leave(None)
    except Exception as error:
        leave(error)
        raise
    finally:
        if watching:
            watching.cancel()


async def _watch(worker: Worker, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - the system has no event for it
        await asyncio.sleep(1)
    worker.stop()


def _metrics(worker: Worker, port: int | None) -> AbstractContextManager[None]:
    if port is None:
        return nullcontext()
    if find_spec("prometheus_client") is None:
        raise SpecError(
            "assay work", "--metrics-port", "what it needs is not installed", "run: pip install 'assay[serve]'"
        )
    from assay_runner.work.exposition import serving

    return serving(worker, port)


def _exit(options: argparse.Namespace, error: Exception | None) -> NoReturn:
    code = EXIT_DONE
    if error is not None:
        if isinstance(error, AssayError):
            print(f"assay: {error}", file=sys.stderr)
        else:
            traceback.print_exception(error)
        word = ended(error)
        write_report(options, word)
        code = word.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
