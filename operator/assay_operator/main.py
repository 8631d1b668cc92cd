"""The `assay-operator` command: kopf's watches feed the process. The only module that knows kopf.

Handlers do nothing but pass on what was seen: they never fail, never write, and keep no state in annotations.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping
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


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, else the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Server-side selectors, bounded requests, and none of kopf's own writing."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 30
    settings.watching.label_selectors["batch", "v1", "jobs"] = _SELECTOR
    settings.watching.label_selectors["", "v1", "pods"] = _SELECTOR


@kopf.on.event(GROUP, VERSION, "evaljobs")
async def evaljob(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """An EvalJob was seen."""
    memo.process.saw_evaljob(event["object"], gone=event["type"] == "DELETED")


@kopf.on.event(GROUP, VERSION, "clusterevalruntimes")
async def runtime(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A runtime was seen."""
    memo.process.saw_runtime(event["object"], gone=event["type"] == "DELETED")


@kopf.on.event("batch", "v1", "jobs", labels=OURS)
async def job(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A child Job was seen."""
    memo.process.saw_job(event["object"], gone=event["type"] == "DELETED")


@kopf.on.event("", "v1", "pods", labels=OURS)
async def pod(event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """A pod was seen."""
    memo.process.saw_pod(event["object"], gone=event["type"] == "DELETED")


async def serve(settings: Settings) -> None:
    """Run until asked to stop.

    Raises:
        Failed: the API server cannot be reached or does not know EvalJobs.
        LeaseLost: another process may lead now.
    """
    await _log_in()
    async with kube.ApiClient() as client, aiohttp.ClientSession() as session:
        process = Process(settings, client, session)
        watching = asyncio.create_task(
            kopf.operator(
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                standalone=True,
                memo=kopf.Memo(process=process),
            )
        )
        acting = asyncio.create_task(process.run())
        try:
            await asyncio.wait({watching, acting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (acting, watching):
                task.cancel()
            ended = await asyncio.gather(acting, watching, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseExceptionGroup):
                lost, _ = error.split(LeaseLost)
                raise lost.exceptions[0] if lost else error
            if isinstance(error, Exception):
                raise error


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
        asyncio.run(serve(settings))
    except AssayError as error:
        print(f"assay-operator: {error}", file=sys.stderr)
        return error.exit_code
    except LeaseLost as error:
        print(f"assay-operator: {error}; ending.", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
