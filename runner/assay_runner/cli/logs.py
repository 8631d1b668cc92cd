"""`assay logs NAME`: what the pods of an EvalJob say, each line marked with its step and pod."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from functools import partial

from assay_api.errors import EXIT_DONE, Failed
from assay_runner.cli.on_cluster import Place, say
from assay_runner.cluster.find import find
from assay_runner.cluster.job import Job, outcome
from assay_runner.cluster.logs import Follower, read
from assay_runner.cluster.patience import looks
from assay_runner.cluster.pods import Pod, in_order, selector, servers_in_order

_LAST_SECONDS = 10.0
"""How long pods that outlive their job are listened to."""


def logs(options: argparse.Namespace) -> int:
    """Print the logs there are; with --follow those that come, until the job has ended.

    Raises:
        Failed: there is no such job, or it has no pods.
    """
    place = Place.of(options)
    job = find(place.cluster, place.namespace, options.name)
    try:
        if options.follow:
            _follow(place, job, options)
        else:
            _print(read(place.cluster, job.namespace, _demand_pods(place, job, options)))
    except BrokenPipeError:
        # The reader has seen enough. Without a new stdout the interpreter would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_DONE


def _demand_pods(place: Place, job: Job, options: argparse.Namespace) -> list[Pod]:
    pods = _pods(place, job, options)
    if pods:
        return pods
    what = "servers beside workers" if options.servers else f"pods for {options.step}" if options.step else "pods"
    if outcome(job):
        raise Failed(f"{job.title} has no {what} any more, and their logs went with them.")
    raise Failed(f"{job.title} has no {what} yet; wait for them with {place.command('logs', job.name, '--follow')}")


def _pods(place: Place, job: Job, options: argparse.Namespace) -> list[Pod]:
    found = place.cluster.pods(job.namespace, selector(job.uid, "work" if options.servers else options.step))
    return servers_in_order(found) if options.servers else in_order(found)


def _follow(place: Place, job: Job, options: argparse.Namespace) -> None:
    follower = Follower(place.cluster, job.namespace)
    deadline = None
    for over, pods in looks(partial(_look, place, job, options), say):
        follower.look(pods)
        _print(follower.lines())
        if not over:
            continue
        deadline = deadline or time.monotonic() + _LAST_SECONDS
        if follower.done(pods) or time.monotonic() >= deadline:
            _print(follower.lines())
            return


def _look(place: Place, job: Job, options: argparse.Namespace) -> tuple[bool, list[Pod]]:
    """Whether the job has ended, and its pods. The job is asked first: pods seen after its end are all there will be."""
    data = place.cluster.job(job.namespace, job.name)
    over = data is None or data["metadata"]["uid"] != job.uid or outcome(Job.of(data)) is not None
    return over, _pods(place, job, options)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
