"""`assay status NAME` and `assay results NAME`: how an EvalJob goes, and what came out of it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from assay_api.errors import EXIT_DONE, EXIT_STOPPED
from assay_runner.cli.on_cluster import Place, demand_success, print_results, stay
from assay_runner.cluster.find import find
from assay_runner.cluster.job import Job
from assay_runner.cluster.show import page


def status(options: argparse.Namespace) -> int:
    """Show the job's page; with --watch until the job has ended, whose outcome is then the exit code.

    Raises:
        AssayError: there is no such job, or the watched job failed or was deleted.
    """
    place = Place.of(options)
    job = find(place.cluster, place.namespace, options.name)
    if not options.watch:
        _print(job)
        return EXIT_DONE
    seen = stay(place, job, whole=True)
    if seen is None:
        return EXIT_STOPPED
    job, ended = seen
    _print(job)
    demand_success(place, job, ended)
    return ended.code


def results_of_job(options: argparse.Namespace) -> int:
    """Show the headline results of the job that `options.run` names, or print its results.json.

    Raises:
        Incomplete: the job has no results.
        Corrupt: the store holds other results than the job ended with.
    """
    from assay_runner.cluster.fetch import demand_results, fetch_results

    place = Place.of(options)
    job = find(place.cluster, place.namespace, options.run)
    demand_results(job)
    if options.json:
        sys.stdout.buffer.write(fetch_results(place.cluster, job))
        sys.stdout.buffer.flush()
        return EXIT_DONE
    print_results(job)
    return EXIT_DONE


def _print(job: Job) -> None:
    print("\n".join(page(job, datetime.now(UTC))))
    if job.status.results:
        print_results(job)
