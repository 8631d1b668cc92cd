"""Names of backends and how each is reached; an engine is imported only when a run uses it."""

from __future__ import annotations

import asyncio
import time
from importlib.util import find_spec
from random import SystemRandom
from typing import TYPE_CHECKING

from assay_api.backends import BackendName
from assay_api.errors import SpecError
from assay_runner.backends.arguments import MANIFEST
from assay_runner.backends.base import Backend, Description, ModelContext
from assay_runner.models.cache import ModelCache

if TYPE_CHECKING:
    from assay_api.evaljob import Model
    from assay_runner.backends.http_client import HttpClient

_NEEDS = {
    BackendName.OPENAI: ("httptools",),
    BackendName.TRANSFORMERS: ("torch", "transformers", "PIL"),
    BackendName.VLLM: ("vllm", "av", "pebble", "PIL"),
    BackendName.SGLANG: ("sglang", "av", "pebble", "PIL"),
}


def describe(model: Model, cores: int, cache: ModelCache | None = None) -> Description:
    """What the model's backend says of it when a run is planned; no weights are loaded.

    Args:
        model: `spec.model`; a relative folder as its name is meant from the working directory.
        cores: CPU cores this process may use, for reading and hashing weights.
        cache: where models are kept that are brought here from elsewhere.

    Raises:
        SpecError: the backend is not in this version or not installed, an argument is wrong, or there is no such model.
        Failed: the hub or the store cannot be reached.
    """
    _available(model.backend)
    if model.backend is BackendName.OPENAI:
        from assay_runner.backends import openai_plan

        return openai_plan.describe(model)
    if model.backend is BackendName.VLLM:
        from assay_runner.backends import vllm_plan

        return vllm_plan.describe(model, cores, cache)
    if model.backend is BackendName.SGLANG:
        from assay_runner.backends import sglang_plan

        return sglang_plan.describe(model, cores, cache)
    from assay_runner.backends import transformers_plan

    return transformers_plan.describe(model, cores, cache)


def preflight(model: Model, api_key: str | None) -> None:
    """Ask an endpoint whether the job can work with it; other backends have nothing to be asked.

    Raises:
        SpecError: the key is refused, the model is not served, or log-likelihoods are wanted and not given.
        Failed: the endpoint cannot be reached.
    """
    _available(model.backend)
    if model.backend is BackendName.OPENAI:
        from assay_runner.backends import openai_plan

        openai_plan.preflight(model, api_key)


def open_backend(name: str, context: ModelContext) -> Backend:
    """The backend `name`, not started yet.

    Raises:
        SpecError: it is not in this version or not installed, or the context lacks what it needs.
    """
    backend = next((known for known in BackendName if known.value == name), None)
    _available(backend or name)
    if backend is BackendName.OPENAI:
        return _open_openai(context)
    if backend is BackendName.VLLM:
        from assay_runner.backends.engine_backend import EngineBackend
        from assay_runner.backends.vllm_engine import VllmEngine

        return EngineBackend(context, VllmEngine(context, time.monotonic), time.monotonic)
    if backend is BackendName.SGLANG:
        from assay_runner.backends.engine_backend import EngineBackend
        from assay_runner.backends.sglang_engine import SglangEngine

        return EngineBackend(context, SglangEngine(context), time.monotonic)
    from assay_runner.backends.transformers_engine import TransformersBackend

    return TransformersBackend(context, time.monotonic)


def _open_openai(context: ModelContext) -> Backend:
    from assay_runner.backends.flow import OUTAGE_SECONDS
    from assay_runner.backends.http_client import HttpClient

    if context.url is None:
        raise SpecError(MANIFEST, "spec.model.endpoint", "backend openai has no endpoint", "add model.endpoint.url")
    client = HttpClient(context.url, context.api_key, context.timeout)
    if context.ready_path is not None:
        return _open_beside(context, context.ready_path, client)
    return _open_endpoint(context, client, OUTAGE_SECONDS)


def _open_endpoint(context: ModelContext, client: HttpClient, outage_seconds: float) -> Backend:
    from assay_runner.backends.endpoint import Endpoint
    from assay_runner.backends.flow import Flow
    from assay_runner.backends.hedge import Hedge
    from assay_runner.backends.openai import OpenAIBackend

    clock, sleep, random = time.monotonic, asyncio.sleep, SystemRandom()
    flow = Flow(
        context.concurrency,
        clock=clock,
        sleep=sleep,
        random=random,
        outage_seconds=outage_seconds,
        share=context.share,
    )
    hedge = Hedge() if context.hedge else None
    endpoint = Endpoint(client, flow, retries=context.retries, clock=clock, sleep=sleep, random=random, hedge=hedge)
    return OpenAIBackend(context, client, endpoint)


def _open_beside(context: ModelContext, ready_path: str, client: HttpClient) -> Backend:
    from assay_runner.backends import openai_plan
    from assay_runner.backends.beside import BesideBackend, Patience
    from assay_runner.backends.flow import OUTAGE_SECONDS
    from assay_runner.backends.http_client import HttpClient

    return BesideBackend(
        HttpClient(client.shown.removesuffix("/v1"), None, context.timeout),
        Patience(ready_path, context.ready_seconds),
        check=lambda: openai_plan.check_server(context.name, context.args, client),
        # A server that has died loads its model anew.
        opened=lambda: _open_endpoint(context, client, OUTAGE_SECONDS + context.ready_seconds),
        clock=time.monotonic,
        sleep=asyncio.sleep,
    )


def _available(backend: BackendName | str) -> None:
    if not isinstance(backend, BackendName) or backend not in _NEEDS:
        raise SpecError(
            MANIFEST,
            "spec.model.backend",
            f"backend {backend} is not in this version of Assay",
            f"use {' or '.join(sorted(_NEEDS))}",
        )
    if any(find_spec(module) is None for module in _NEEDS[backend]):
        raise SpecError(
            MANIFEST,
            "spec.model.backend",
            f"what backend {backend} needs is not installed",
            f"run: pip install 'assay[{backend}]'",
        )
