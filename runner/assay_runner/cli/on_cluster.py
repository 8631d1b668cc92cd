"""What the commands for clusters share: the cluster and namespace that the user means, and how to come back to them."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from dataclasses import dataclass

from assay_api.errors import AssayError
from assay_runner.cli.verdicts import print_verdicts
from assay_runner.cluster.client import Cluster, connect
from assay_runner.cluster.display import Display
from assay_runner.cluster.job import Job, Outcome
from assay_runner.cluster.show import after_results, results_table
from assay_runner.cluster.wait import wait_for_end


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace of a cluster."""

    cluster: Cluster
    namespace: str
    context: str | None

    @classmethod
    def of(cls, options: argparse.Namespace, manifest: str | None = None) -> Place:
        """The one that the command line names, else the manifest, else the kubeconfig."""
        cluster = connect(options.context)
        return cls(cluster, options.namespace or manifest or cluster.namespace, options.context)

    def command(self, *parts: str) -> str:
        """The command line that means this place."""
        words = ["assay", *parts]
        if self.namespace != self.cluster.namespace:
            words += ["-n", self.namespace]
        if self.context:
            words += ["--context", self.context]
        return shlex.join(words)


def stay(place: Place, job: Job, *, whole: bool) -> tuple[Job, Outcome] | None:
    """Show the job until it has ended: as it was then, and how it ended. None when the user has seen enough.

    Raises:
        AssayError: the job was deleted, or the cluster does not answer any more.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Display(live=sys.stderr.isatty(), whole=whole) as display:
            return wait_for_end(place.cluster, job, display)
    except KeyboardInterrupt:
        say(f"{job.title} goes on. Come back with:\n  {place.command('status', job.name, '--watch')}")
        return None


def demand_success(place: Place, job: Job, ended: Outcome) -> None:
    """Return when the job is complete, whatever the verdicts on its gates.

    Raises:
        AssayError: it failed; the exit code is the outcome's.
    """
    if not job.condition("Complete"):
        error = AssayError(f"{ended.sentence}\nits pods' last words:\n  {place.command('logs', job.name)}")
        error.exit_code = ended.code
        raise error


def print_results(job: Job) -> None:
    """The headline table, the verdicts on gates, and where the rest lies."""
    from rich.console import Console

    if job.status.results:
        # A pipe has no width: the table keeps its own, so that programs and logs get whole lines.
        Console(width=None if sys.stdout.isatty() else 120).print(results_table(job))
    print_verdicts((gate.name, gate.verdict, gate.message) for gate in job.status.gates)
    for line in after_results(job):
        print(line)


def say(text: str) -> None:
    """Tell the person, not the pipe."""
    print(text, file=sys.stderr, flush=True)
