"""The `assay` command: parses arguments, runs one subcommand, turns foreseen failures into a sentence and an exit code.

Nothing beyond argparse is imported before the subcommand is known, so `assay --help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from assay_runner import __version__

_RUNS_TASK_CODE = ("run", "plan", "work", "reduce", "compare")
_EXIT_STOPPED = 75
"""As in `assay_api.errors`, which takes a tenth of a second to import."""
_EXIT_CODES = "exit codes: 0 done; 1 failed; 64 the manifest or a task is wrong; 75 stopped, may be resumed"
_WITH_GATES = f"{_EXIT_CODES}; when the job has gates: 3 one failed; 4 none failed, and of one it cannot be told"


def parser() -> argparse.ArgumentParser:
    """The command line, for `main` and for the documentation's tests."""
    top = argparse.ArgumentParser(
        prog="assay", description="Evaluate language and multimodal models.", epilog=_EXIT_CODES
    )
    top.add_argument("--version", action="version", version=f"assay {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="plan, work and reduce on this machine; run again, it resumes", epilog=_WITH_GATES
    )
    run.add_argument("file", metavar="FILE", help="manifest with one EvalJob")
    run.add_argument(
        "--workers", type=_positive, metavar="N", help="worker processes (default: what this machine can use)"
    )
    run.add_argument("--json", action="store_true", help="results.json, and gates.json if any, on stdout; no table")
    _planning(run)

    plan = commands.add_parser("plan", help="resolve tasks, pin and stage data, write plan.json", epilog=_EXIT_CODES)
    plan.add_argument("file", metavar="FILE", help="manifest with one EvalJob")
    plan.add_argument("--json", action="store_true", help="plan.json on stdout instead of a table")
    plan.add_argument(
        "--config-maps", metavar="FOLDER", help="where the manifest's ConfigMaps are mounted, one folder each"
    )
    _in_a_pod(plan, cache=True)
    _planning(plan)

    work = commands.add_parser("work", help="work on a planned run until every chunk is committed", epilog=_EXIT_CODES)
    work.add_argument("run", metavar="RUN", help="address of the run, as `assay plan` prints it")
    work.add_argument(
        "--index", type=_index, metavar="I", help="place among the planned workers; without it, join on top"
    )
    work.add_argument("--of", type=_positive, metavar="N", help="number of planned workers (default: the plan's)")
    work.add_argument("--worker", metavar="NAME", help="name in progress reports (default: host and process)")
    work.add_argument("--model", metavar="FOLDER", help="where the model's files lie on this machine")
    work.add_argument("--grace", type=float, default=25.0, metavar="SECONDS", help="to finish open chunks when stopped")
    work.add_argument("--parent", type=int, metavar="PID", help="stop when this process is no longer the parent")
    work.add_argument("--metrics-port", type=_positive, metavar="PORT", help="serve Prometheus metrics on this port")
    _in_a_pod(work, cache=True)

    reduce = commands.add_parser("reduce", help="check a finished run and compute its results", epilog=_EXIT_CODES)
    reduce.add_argument("run", metavar="RUN", help="address of the run")
    reduce.add_argument("--json", action="store_true", help="results.json on stdout instead of a table")
    reduce.add_argument(
        "--max-error-rate",
        type=_rate,
        metavar="RATE",
        help="tolerate this share of failed samples, not the planned one",
    )
    _in_a_pod(reduce)

    watch = commands.add_parser(
        "watch", help="wait for checkpoints below a prefix, number them, tell of them and end", epilog=_EXIT_CODES
    )
    watch.add_argument("uri", metavar="URI", help="prefix or folder below which checkpoints land")
    watch.add_argument(
        "--numbers", required=True, metavar="URI", help="where numbers are kept: <storage>/<namespace>/<name>/<id>"
    )
    watch.add_argument("--pattern", default="checkpoint-*", metavar="GLOB", help="names that are checkpoints")
    watch.add_argument("--ready-file", metavar="NAME", help="file in a checkpoint that says it is complete")
    watch.add_argument(
        "--settle", type=float, default=60.0, metavar="SECONDS", help="without a ready file: how long nothing changes"
    )
    watch.add_argument("--poll", type=float, default=60.0, metavar="SECONDS", help="between two looks")
    watch.add_argument("--after", type=_index, default=0, metavar="N", help="number of the last one known already")
    watch.add_argument(
        "--patience", type=float, default=3600.0, metavar="SECONDS", help="after which to end without any"
    )
    _in_a_pod(watch)

    delete = commands.add_parser(
        "delete", help="remove a run, or a schedule's numbers, from the store", epilog=_EXIT_CODES
    )
    delete.add_argument("run", metavar="RUN", help="address of the run")
    _in_a_pod(delete)

    results = commands.add_parser("results", help="show the results of a run, or of an EvalJob", epilog=_EXIT_CODES)
    results.add_argument("run", metavar="RUN|NAME", help="address of a run, or the name of an EvalJob on the cluster")
    results.add_argument("--json", action="store_true", help="results.json on stdout instead of a table")
    _on_a_cluster(results)

    compare = commands.add_parser(
        "compare",
        help="whether the second of two runs is better than the first, and how sure that is",
        epilog="exit codes: 0 compared, whatever came out; 1 failed; 64 the runs cannot be compared, or an address is wrong",
    )
    compare.add_argument("a", metavar="RUN", help="address of the baseline, A")
    compare.add_argument("b", metavar="RUN", help="address of the candidate, B; differences are B − A")
    compare.add_argument("--json", action="store_true", help="the comparison as JSON instead of a table")

    submit = commands.add_parser("submit", help="apply a manifest to the cluster", epilog=_WITH_GATES)
    submit.add_argument("file", metavar="FILE", help="manifest with one EvalJob")
    submit.add_argument(
        "--wait", action="store_true", help="stay until the job has ended; its outcome is the exit code"
    )
    _on_a_cluster(submit)

    status = commands.add_parser("status", help="how an EvalJob on the cluster is going", epilog=_WITH_GATES)
    status.add_argument("name", metavar="NAME", help="name of the EvalJob")
    status.add_argument("--watch", action="store_true", help="stay and show changes until the job has ended")
    _on_a_cluster(status)

    logs = commands.add_parser("logs", help="what the pods of an EvalJob say", epilog=_EXIT_CODES)
    logs.add_argument("name", metavar="NAME", help="name of the EvalJob")
    which = logs.add_mutually_exclusive_group()
    which.add_argument("--step", choices=("plan", "work", "reduce"), help="only the pods of this step")
    which.add_argument("--servers", action="store_true", help="the model servers beside the workers instead")
    logs.add_argument("--follow", "-f", action="store_true", help="stay and print new lines until the job has ended")
    _on_a_cluster(logs)

    cancel = commands.add_parser("cancel", help="stop an EvalJob and remove it; its records stay", epilog=_EXIT_CODES)
    cancel.add_argument("name", metavar="NAME", help="name of the EvalJob")
    _on_a_cluster(cancel)

    crd = commands.add_parser("crd", help="print the definitions of Assay's kinds", epilog=_EXIT_CODES)
    crd.add_argument(
        "--check", metavar="FOLDER", help="compare with the files in this folder instead; 1 when they differ"
    )
    crd.add_argument("--write", metavar="FOLDER", help="write one file each into this folder")

    tasks = commands.add_parser("tasks", help="list the tasks there are", epilog=_EXIT_CODES)
    tasks.add_argument(
        "--source", action="append", default=[], metavar="FOLDER", help="also list the tasks of this folder"
    )
    tasks.add_argument("--json", action="store_true", help="as JSON")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    if arguments is None:
        # The first process of a container has no default for it: without a handler the signal would be ignored.
        signal.signal(signal.SIGTERM, _terminate)
        if options.command in _RUNS_TASK_CODE:
            _fix_hashes()
    try:
        return _dispatch(options)
    except BaseException as error:
        # Code that is interrupted in the middle, such as an import, may say anything.
        if isinstance(error, KeyboardInterrupt) or _Terminated.happened:
            return _stopped(options)
        from assay_api.errors import AssayError, Failed

        if isinstance(error, MemoryError):
            error = Failed(
                "Memory ran out; give the command more (on a cluster: resources.limits.memory) and start it again."
            )
        if isinstance(error, Exception):
            _report_end(options, error)
        if not isinstance(error, AssayError):
            raise
        print(f"assay: {error}", file=sys.stderr)
        return error.exit_code


class _Terminated(KeyboardInterrupt):
    """SIGTERM. A class of its own, because Python ends a process that ever met a plain KeyboardInterrupt in `exec` or
    `eval`, as imports use them, with SIGINT's exit code, caught or not."""

    happened = False


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _Terminated.happened = True
    raise _Terminated


def _stopped(options: argparse.Namespace) -> int:
    print("assay: stopped.", file=sys.stderr)
    # What was interrupted may be the very import that a report needs; the exit code matters more.
    with contextlib.suppress(BaseException):
        from assay_api.errors import Stopped

        _report_end(options, Stopped("The command was asked to stop."))
    return _EXIT_STOPPED


def _report_end(options: argparse.Namespace, error: Exception) -> None:
    from assay_runner.cli.report import ended, write_report

    write_report(options, ended(error))


def _fix_hashes() -> None:
    """Start anew with a fixed seed for hashes: the order of a set of texts must not depend on the process that a task's
    Python runs in."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "assay_runner", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


_COMMANDS = {
    "run": ("run", "run"),
    "plan": ("plan", "plan"),
    "work": ("work", "work"),
    "reduce": ("results", "reduce"),
    "results": ("results", "results"),
    "compare": ("compare", "compare"),
    "watch": ("watch", "watch"),
    "delete": ("delete", "delete"),
    "submit": ("submit", "submit"),
    "status": ("status", "status"),
    "logs": ("logs", "logs"),
    "cancel": ("submit", "cancel"),
    "crd": ("crd", "crd"),
    "tasks": ("tasks", "tasks"),
}
"""Subcommand → its module in this package, and the function in it."""


def _dispatch(options: argparse.Namespace) -> int:
    module, function = _COMMANDS[options.command]
    code: int = getattr(importlib.import_module(f"assay_runner.cli.{module}"), function)(options)
    return code


def _planning(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store", metavar="URI", help="where runs are kept (default: spec.storage, else ./assay-runs)"
    )
    command.add_argument("--limit", type=_positive, metavar="N", help="only the first N documents of every task")


def _in_a_pod(command: argparse.ArgumentParser, *, cache: bool = False) -> None:
    command.add_argument("--report", metavar="FILE", help="write the outcome to this file, for whoever started the pod")
    if cache:
        command.add_argument("--cache", metavar="FOLDER", help="keep model weights in this folder, for other pods too")


def _on_a_cluster(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--namespace", "-n", metavar="NAMESPACE", help="default: the manifest's, else the kubeconfig's"
    )
    command.add_argument("--context", metavar="CONTEXT", help="context of the kubeconfig (default: the current one)")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return rate


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _index(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a place (0, 1, 2, …)")
    return number
