"""From the name that a person typed to the EvalJob, or to a sentence that helps to find it."""

from __future__ import annotations

import difflib

from assay_api.errors import Failed
from assay_runner.cluster.client import Cluster
from assay_runner.cluster.job import Job


def find(cluster: Cluster, namespace: str, name: str) -> Job:
    """The EvalJob.

    Raises:
        Failed: there is none of that name; the sentence lists similar ones.
    """
    data = cluster.job(namespace, name)
    if data is not None:
        return Job.of(data)
    missing = f"There is no evaljob/{name} in namespace {namespace}"
    if similar := _similar(cluster, namespace, name):
        raise Failed(f"{missing}; did you mean {' or '.join(similar)}?")
    raise Failed(f"{missing}; see `kubectl get evaljobs --all-namespaces`, or choose another --namespace or --context.")


def _similar(cluster: Cluster, namespace: str, name: str) -> list[str]:
    try:
        names = [str(data["metadata"]["name"]) for data in cluster.jobs(namespace)]
    except Failed:
        # Who may read one object need not be allowed to list them.
        return []
    return difflib.get_close_matches(name, names, n=3)
