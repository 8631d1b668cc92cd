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
from pathlib import Path

from assay_api import layout
from assay_runner.backends.base import Backend
from assay_runner.backends.registry import open_backend
from assay_runner.cores import usable_cores
from assay_runner.plan.write import committing_store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.work.setup import model_context, read_placement, read_plan, set_threads
from assay_runner.work.stage import Stage, open_stages
from assay_runner.work.worker import Worker, WorkerSettings


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
    cores = usable_cores()
    set_threads(plan.model.pins, cores, os.environ)
    settings = WorkerSettings(
        worker=options.worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        index=options.index,
        workers=options.of or placement.workers,
        grace=options.grace,
    )
    context = model_context(
        plan, placement, settings, cores=cores, api_key=os.environ.get("OPENAI_API_KEY"), model=options.model
    )

    def stages() -> dict[str, Stage]:
        return open_stages(plan, root, scratch)

    def backend() -> Backend:
        return open_backend(plan.model.backend, context)

    def say(line: str) -> None:
        print(f"{settings.worker}: {line}", file=sys.stderr, flush=True)

    worker = Worker(store, settings, plan=plan, stages=stages, backend=backend, say=say)
    asyncio.run(_until_done(worker, options.parent))
    return 0


async def _until_done(worker: Worker, parent: int | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    watching = asyncio.create_task(_watch(worker, parent)) if parent else None
    try:
        await worker.run()
    finally:
        if watching:
            watching.cancel()


async def _watch(worker: Worker, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - the system has no event for it
        await asyncio.sleep(1)
    worker.stop()
