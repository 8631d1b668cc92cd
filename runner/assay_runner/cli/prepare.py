"""What `run` and `plan` do first: read the manifest, look at the model, plan, and give the run its place in the store."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from assay_api.base import sha256
from assay_api.errors import SpecError
from assay_api.evaljob import EvalJob
from assay_api.plan import Plan
from assay_api.records import Placement, StorageProbe
from assay_api.sidecar import Sidecar
from assay_runner.backends.base import Description
from assay_runner.backends.registry import describe, preflight
from assay_runner.cli.cache import model_cache
from assay_runner.cores import usable_cores
from assay_runner.gates.on_demand import plan_gates
from assay_runner.manifest import read_manifest
from assay_runner.plan.planner import PlannerSettings, located_model, make_plan
from assay_runner.plan.write import write_run
from assay_runner.store.base import Store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.work.beside import SERVER

DEFAULT_STORE = "assay-runs"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned run and where it lies."""

    job: EvalJob
    plan: Plan
    placement: Placement
    root: Store
    store: Store
    uri: str
    """Address of the run."""
    probed: StorageProbe


def prepare(options: argparse.Namespace, settled: Callable[[EvalJob], None] = lambda job: None) -> Prepared:
    """Plan the manifest named on the command line and write the plan. `settled` is called as soon as manifest and store
    are found to be good, and the environment is as worker processes need it.

    Raises:
        SpecError: the manifest, a task or its data is wrong.
        Failed: endpoint, hub or store cannot be reached.
    """
    manifest = Path(options.file)
    job = read_manifest(manifest)
    server = _server(job, manifest)
    root = _root(options, job, manifest)
    mounted = getattr(options, "config_maps", None)
    config_maps = Path(mounted) if mounted else None
    model = located_model(job, manifest).spec.model
    job_folder = f"{job.metadata.namespace}/{job.metadata.name}/"
    # Credentials and bucket are tried before anything that takes its time.
    next(root.list(job_folder, recursive=False), None)
    settled(job)

    def look_at_the_model() -> Description:
        description = describe(model, usable_cores(), model_cache(options, os.environ))
        if server is not None:
            # It runs beside each worker, and not here: they look at it when they start.
            return replace(description, pins={**description.pins, SERVER: server.identity})
        preflight(model, os.environ.get("OPENAI_API_KEY"))
        return description

    scratch = Path(tempfile.mkdtemp(prefix="assay-plan-"))
    try:
        settings = PlannerSettings(
            scratch,
            options.limit,
            # A pod that plans shares a volume with those that work, but not its own files.
            in_place=root.uri.startswith("file:") and config_maps is None,
            config_maps=config_maps,
        )
        planned = make_plan(job, manifest, root, settings, look_at_the_model, plan_gates)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    store = Prefixed(root, f"{job_folder}{_run_id(job, planned.plan)}/")
    probed = write_run(store, planned.plan, planned.placement)
    return Prepared(job, planned.plan, planned.placement, root, store, store.uri.rstrip("/"), probed)


def _server(job: EvalJob, manifest: Path) -> Sidecar | None:
    """The server beside each worker, of which the operator tells."""
    if job.spec.model.server is None:
        return None
    server = Sidecar.read(os.environ)
    if server is None:
        raise SpecError(
            str(manifest),
            "spec.model.server",
            "a server beside each worker is there on a cluster alone",
            "start the server yourself and give model.endpoint.url in place of model.server",
        )
    return server


def _root(options: argparse.Namespace, job: EvalJob, manifest: Path) -> Store:
    storage = job.spec.storage
    if options.store:
        return open_store(options.store, storage if storage and options.store == storage.uri else None)
    if storage is None:
        return open_store(str(Path(DEFAULT_STORE).resolve()), None)
    if (
        storage.credentials_secret_ref is not None
        and "AWS_ACCESS_KEY_ID" not in os.environ
        and storage.uri.startswith("s3:")
    ):
        print(
            "assay: spec.storage.credentialsSecretRef is for clusters; here the usual AWS credentials are used.",
            file=sys.stderr,
        )
    if not storage.uri.startswith(("s3:", "file:")):
        raise SpecError(str(manifest), "spec.storage.uri", "no such kind of storage", "use s3:// or file://")
    _export(storage.endpoint_url, storage.region)
    return open_store(storage.uri, storage)


def _export(endpoint: str | None, region: str | None) -> None:
    """Worker processes know a run by its address alone and find the S3 server the way boto3 does."""
    if endpoint:
        os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
    if region:
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region


def _run_id(job: EvalJob, plan: Plan) -> str:
    """The same job over the same data, at the same endpoint, is the same run, so that it resumes."""
    endpoint = job.spec.model.endpoint.url if job.spec.model.endpoint else ""
    return job.metadata.uid or sha256(f"{plan.digest} {endpoint}".encode())[:12]
