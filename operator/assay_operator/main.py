"""The `assay-operator` command: kopf's watches feed the process. The only module that knows kopf.

Handlers do nothing but pass on what was seen: they never fail, never write, and keep no state in annotations. kopf runs in a
thread and a loop of its own: when it stops it ends whatever else runs in its loop, and the Lease is to be released first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import kopf
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from assay_api.errors import EXIT_FAILED, AssayError, Failed
from assay_api.evaljob import GROUP, VERSION
from assay_operator.lease import LeaseLost
from assay_operator.names import OURS
from assay_operator.process import Process
from assay_operator.settings import Settings

_SELECTOR = ",".join(f"{name}={value}" for name, value in OURS.items())

log = logging.getLogger("assay.operator")


class _NoDiff(kopf.DiffBaseStorage):
    """Of what an object was before: nothing is kept, so kopf need not copy each object of each event to compare it."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, else the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Server-side selectors, bounded requests, and none of kopf's own writing."""
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiff()
    settings.scanning.disabled = True
    settings.watching.chunk_size = 100
    # Each object that was seen has a task for so long, and with it its last event.
    settings.queueing.idle_timeout = 0.5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 30
    settings.watching.label_selectors["batch", "v1", "jobs"] = _SELECTOR
    settings.watching.label_selectors["", "v1", "pods"] = _SELECTOR


@kopf.on.event(GROUP, VERSION, "evaljobs")
async def evaljob(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """An EvalJob was seen."""
    memo.tell(memo.process.saw_evaljob, event)


@kopf.on.event(GROUP, VERSION, "evalschedules")
async def evalschedule(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """An EvalSchedule was seen."""
    memo.tell(memo.process.saw_evalschedule, event)


@kopf.on.event(GROUP, VERSION, "clusterevalruntimes")
async def runtime(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A runtime was seen."""
    memo.tell(memo.process.saw_runtime, event)


@kopf.on.event("batch", "v1", "jobs", labels=OURS)
async def job(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A child Job was seen."""
    memo.tell(memo.process.saw_job, event)


@kopf.on.event("", "v1", "pods", labels=OURS)
async def pod(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A pod was seen."""
    memo.tell(memo.process.saw_pod, event)


async def serve(settings: Settings) -> None:
    """Run until asked to stop.

    Raises:
        Failed: the API server cannot be reached, or the watches have ended by themselves.
        LeaseLost: another process may lead now.
    """
    await _log_in()
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)

    def tell(saw: Callable[..., None], event: Mapping[str, Any]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended, and with it the interest in events.
            loop.call_soon_threadsafe(functools.partial(saw, event["object"], gone=event["type"] == "DELETED"))

    configuration = kube.Configuration.get_default_copy()
    # As for the watches: no proxy of the environment, which would be read, with ~/.netrc, at each call.
    configuration.client_session_kwargs = {"trust_env": False}
    async with kube.ApiClient(configuration) as client, aiohttp.ClientSession() as session:
        process = Process(settings, client, session)
        memo = kopf.Memo(process=process, tell=tell)
        deaf = asyncio.create_task(_watch(settings, memo))
        acting, stopping = asyncio.create_task(process.run()), asyncio.create_task(asked.wait())
        try:
            await asyncio.wait({deaf, acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if acting.done():
                await acting
            if deaf.done():
                await deaf
        finally:
            for task in (acting, deaf, stopping):
                task.cancel()
            await asyncio.gather(acting, deaf, stopping, return_exceptions=True)


async def _watch(settings: Settings, memo: kopf.Memo) -> None:
    """Have kopf watch, for good.

    Raises:
        Failed: it has stopped.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            kopf.run(clusterwide=not settings.namespaces, namespaces=settings.namespaces, standalone=True, memo=memo)
        except Exception:
            log.exception("the watches have failed")
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    # A daemon: it only reads, so it may end with the process in the middle of whatever it reads.
    threading.Thread(target=run, name="watches", daemon=True).start()
    await ended.wait()
    raise Failed("The watches have ended; see the log above.")


async def _log_in() -> None:
    try:
        kube_config.load_incluster_config()
    except kube_config.ConfigException:
        try:
            await kube_config.load_kube_config()
        except (kube_config.ConfigException, OSError) as error:
            raise Failed(f"There is neither a service account nor a usable kubeconfig ({error}).") from error


def main() -> int:
    """Run the operator and return its exit code."""
    description = "Runs EvalJobs on this cluster. Settings come from the environment: docs/operator.md."
    argparse.ArgumentParser(prog="assay-operator", description=description).parse_args()
    try:
        settings = Settings.read(os.environ, socket.gethostname())
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # It warns that it leaves signals alone, as it should in a thread.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        asyncio.run(serve(settings))
    except AssayError as error:
        print(f"assay-operator: {error}", file=sys.stderr)
        return error.exit_code
    except BaseExceptionGroup as group:
        lost, others = group.split(LeaseLost)
        if lost is None or others is not None:
            raise
        print(f"assay-operator: {lost.exceptions[0]}; ending.", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
