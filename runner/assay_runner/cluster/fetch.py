"""Fetches a job's results.json from its store with the user's own credentials, and checks it against the status."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from assay_api import layout
from assay_api.base import sha256
from assay_api.errors import Corrupt, Failed, Incomplete
from assay_api.evaljob import Storage
from assay_runner.cluster.client import Cluster
from assay_runner.cluster.job import Job, outcome
from assay_runner.store.base import NotFoundInStore
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def demand_results(job: Job) -> None:
    """Return when the job has results.

    Raises:
        Incomplete: it has not, and the sentence says why.
    """
    if job.condition("Complete"):
        return
    if ended := outcome(job):
        raise Incomplete(f"There are no results: {ended.sentence}")
    raise Incomplete(f"{job.title} has no results yet, it is {job.status.phase or 'Pending'}.")


def fetch_results(cluster: Cluster, job: Job) -> bytes:
    """The bytes of results.json.

    Raises:
        Corrupt: the object is not the one whose digest the status holds.
        Failed: it cannot be read from here.
    """
    uri, digest = job.status.results_uri, job.status.results_digest
    if not uri or not digest:
        raise Failed(f"The status of {job.title} does not say where results.json lies.")
    root, prefix = layout.split_run(uri.removesuffix(layout.RESULTS))
    store = Prefixed(open_store(root, storage_settings(cluster, job, root, os.environ)), prefix)
    try:
        data = store.get(layout.RESULTS)
    except NotFoundInStore as error:
        if uri.startswith("file:"):
            raise Failed(
                f"{uri} lies on a volume of the cluster that this machine does not see; read it in a pod that mounts it."
            ) from error
        raise
    if sha256(data) != digest.removeprefix("sha256:"):
        raise Corrupt(
            f"{uri} is not the file that {job.title} ended with: its SHA-256 differs from status.resultsDigest."
        )
    return data


def storage_settings(cluster: Cluster, job: Job, root: str, environ: Mapping[str, str]) -> Storage:
    """Endpoint and region as the pods use them. An endpoint in the user's environment wins: the pods' may be an address
    that only pods can reach."""
    storage = job.spec.get("storage") or _storage_of_runtime(cluster, job)
    endpoint = None if any(environ.get(name) for name in _ENDPOINTS) else storage.get("endpointUrl")
    return Storage(uri=root, endpointUrl=endpoint, region=storage.get("region"))


def _storage_of_runtime(cluster: Cluster, job: Job) -> Mapping[str, Any]:
    try:
        runtime = cluster.runtime(str(job.spec.get("runtimeRef", {}).get("name", "default")))
    except Failed:
        # Users need not be allowed to read runtimes; their environment may name the endpoint instead.
        return {}
    storage: Mapping[str, Any] = ((runtime or {}).get("spec") or {}).get("storage") or {}
    return storage
