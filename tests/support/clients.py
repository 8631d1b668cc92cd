"""Opens the openai backend against a test server, so that waits pass quickly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

from assay_runner.backends.base import Backend, ModelContext
from assay_runner.backends.endpoint import Endpoint
from assay_runner.backends.flow import Flow
from assay_runner.backends.http_client import HttpClient
from assay_runner.backends.openai import OpenAIBackend
from support.endpoint import MODEL, TestEndpoint


def through_openai(endpoint: TestEndpoint, **changes: Any) -> Backend:
    """The openai backend against `endpoint`, with waits a hundred times shorter than real ones."""
    context = ModelContext(name=MODEL, revision=None, args={}, pins={}, retries=3, url=endpoint.url)
    context = replace(context, **changes)
    loop = asyncio.get_running_loop()
    assert context.url is not None

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    def clock() -> float:
        return loop.time() * 100

    client = HttpClient(context.url, context.api_key, context.timeout)
    flow = Flow(context.concurrency, clock=clock, sleep=sleep, random=Random(0))
    asking = Endpoint(client, flow, retries=context.retries, clock=clock, sleep=sleep, random=Random(0))
    return OpenAIBackend(context, client, asking)
