"""`assay submit FILE` and `assay cancel NAME`: an EvalJob comes to the cluster, and leaves it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from assay_api.errors import EXIT_DONE, EXIT_STOPPED, Failed
from assay_runner.cli.on_cluster import Place, demand_success, print_results, say, stay
from assay_runner.cluster.answers import ApiRefused, conflict, rejection
from assay_runner.cluster.find import find
from assay_runner.cluster.job import Job, outcome
from assay_runner.cluster.wait import wait_until_gone
from assay_runner.manifest import read_manifest


def submit(options: argparse.Namespace) -> int:
    """Apply the manifest; with --wait stay until the job has ended, whose outcome is then the exit code.

    Raises:
        SpecError: the manifest is wrong, and the cluster was not asked.
        AssayError: the API server refused it, or the job failed or was deleted.
    """
    read_manifest(Path(options.file))
    manifest = _as_written(options.file)
    place = Place.of(options, manifest["metadata"].get("namespace"))
    manifest["metadata"]["namespace"] = place.namespace
    job, how = _apply(place, manifest, options.file)
    print(f"{job.title} {how} in namespace {place.namespace}", flush=True)
    if outcome(job):
        say(
            f"It has already ended ({job.status.phase}), and a finished job is not run again: give it another name, or "
            f"remove it first with\n  {place.command('cancel', job.name)}"
        )
    elif not options.wait:
        say(f"see how it goes:\n  {place.command('status', job.name, '--watch')}")
    if not options.wait:
        return EXIT_DONE
    seen = stay(place, job, whole=False)
    if seen is None:
        return EXIT_STOPPED
    job, ended = seen
    demand_success(place, job, ended)
    say(ended.sentence)
    print_results(job)
    return ended.code


def cancel(options: argparse.Namespace) -> int:
    """Delete the job and stay until it is gone, a minute at most.

    Raises:
        Failed: there is no such job, or it is still there.
    """
    place = Place.of(options)
    job = find(place.cluster, place.namespace, options.name)
    say(_what_stays(job))
    place.cluster.delete(job.namespace, job.name, job.uid)
    wait_until_gone(place.cluster, job, say)
    print(f"{job.title} deleted from namespace {job.namespace}")
    return EXIT_DONE


def _as_written(file: str) -> dict[str, Any]:
    """The EvalJob exactly as the file has it: the cluster fills in defaults itself, and owns them."""
    documents = [one for one in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")) if one]
    for other in documents:
        if other.get("kind") != "EvalJob":
            name = (other.get("metadata") or {}).get("name", "?")
            say(f"{file}: {other.get('kind', 'an object')}/{name} is left alone; apply it with kubectl.")
    manifest: dict[str, Any] = next(one for one in documents if one.get("kind") == "EvalJob")
    return manifest


def _apply(place: Place, manifest: dict[str, Any], file: str) -> tuple[Job, str]:
    name = manifest["metadata"]["name"]
    before = place.cluster.job(place.namespace, name)
    if before and "deletionTimestamp" in before["metadata"]:
        raise Failed(f"The evaljob/{name} of before is still being deleted; submit it again when it is gone.")
    try:
        after = place.cluster.apply(place.namespace, manifest)
    except ApiRefused as refused:
        if refused.code in (400, 422):
            raise rejection(file, refused) from refused
        if refused.code == 409:
            raise conflict(name, file, refused) from refused
        raise
    if before is None:
        return Job.of(after), "created"
    return Job.of(after), "unchanged" if _wanted(before) == _wanted(after) else "changed"


def _wanted(data: dict[str, Any]) -> tuple[Any, ...]:
    """What a user sets of an object; its status changes by itself meanwhile."""
    return data.get("spec"), data["metadata"].get("labels"), data["metadata"].get("annotations")


def _what_stays(job: Job) -> str:
    run = job.status.plan.run_uri if job.status.plan else ""
    if not run:
        return f"{job.title} has stored nothing yet."
    if job.spec.get("reclaimPolicy") == "Delete":
        return f"With {job.title} goes all that it has stored at {run} (reclaimPolicy Delete)."
    return f"What {job.title} has stored stays at {run}"
