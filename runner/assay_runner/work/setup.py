"""What a worker process prepares before it works: the plan, its threads, and the context its backend is opened with."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any

from assay_api import layout
from assay_api.errors import Corrupt, SpecError
from assay_api.plan import Plan
from assay_api.records import Placement
from assay_api.sidecar import Sidecar
from assay_runner import __version__
from assay_runner.backends.base import ModelContext
from assay_runner.models.cache import ModelCache
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.work.settings import WorkerSettings


def read_plan(store: Store) -> Plan:
    """The run's plan, refused when this is not the version of Assay that made it.

    Raises:
        SpecError: no plan, or one of another version.
        Corrupt: the plan has been changed since it was written.
    """
    plan = stored_plan(store)
    if plan.assay_version != __version__:
        raise SpecError(
            store.location(layout.PLAN),
            "assay_version",
            f"the run was planned by Assay {plan.assay_version}, this is {__version__}",
            f"use Assay {plan.assay_version} for this run, or plan it anew",
        )
    return plan


def stored_plan(store: Store) -> Plan:
    """The run's plan, whichever version of Assay made it: for looking at a finished run.

    Raises:
        SpecError: there is no plan.
        Corrupt: the plan has been changed since it was written.
    """
    try:
        data = store.get(layout.PLAN)
    except NotFoundInStore as error:
        raise SpecError(store.uri, "", "there is no plan", "give the address of a run that was planned") from error
    plan = Plan.decode(data, store.location(layout.PLAN))
    if plan.encode() != data:
        raise Corrupt(f"{store.location(layout.PLAN)} is not as the planner wrote it.")
    return plan


def read_placement(store: Store) -> Placement:
    """Where the run finds its model; the defaults when nobody said."""
    try:
        return Placement.decode(store.get(layout.PLACEMENT), store.location(layout.PLACEMENT))
    except NotFoundInStore:
        return Placement()


def model_context(
    plan: Plan,
    placement: Placement,
    settings: WorkerSettings,
    *,
    cores: int,
    api_key: str | None,
    model: str | None,
    cache: ModelCache,
    live: Callable[[], int],
    server: Sidecar | None = None,
) -> ModelContext:
    """What the backend is opened with here.

    Args:
        model: a folder that replaces the one the run was placed with.
        live: how many workers the run has now.
        server: the server beside this worker, which nobody else asks.
    """

    @lru_cache(maxsize=64)
    def part(workers: int) -> int:
        return placement.max_concurrency if server else requests_in_flight(placement, settings.index, workers)

    return ModelContext(
        name=model or placement.model or plan.model.name,
        revision=plan.model.revision,
        args=plan.model.args,
        pins=plan.model.pins,
        retries=placement.retries,
        url=server.url if server else placement.url,
        api_key=api_key,
        concurrency=part(placement.workers),
        share=lambda: part(live()),
        timeout=placement.timeout_seconds,
        hedge=placement.hedge,
        ready_path=server.ready_path if server else None,
        ready_seconds=server.ready_seconds if server else 0.0,
        batch_size=plan.batch_size,
        cores=cores,
        cache=cache,
    )


def set_threads(pins: dict[str, Any], cores: int, environment: MutableMapping[str, str]) -> None:
    """Limit the thread pools of numeric libraries before they are imported: to the plan's pin, else to this process's
    cores."""
    threads = str(pins.get("threads") or cores)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = threads
    environment["TOKENIZERS_PARALLELISM"] = "false"


def requests_in_flight(placement: Placement, index: int | None, live: int) -> int:
    """This worker's part of the run's requests in flight, at least one.

    Planned workers have fixed parts. When more are live than were planned, because some joined on top, everybody's part
    shrinks, so that the sum stays within the run's limit once they have seen each other.
    """
    workers = max(placement.workers, live)
    part, over = divmod(placement.max_concurrency, workers)
    planned = workers == placement.workers
    return max(1, part + (planned and index is not None and index < over))
