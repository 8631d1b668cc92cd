"""The `assay` command: parses arguments, runs one subcommand, turns foreseen failures into a sentence and an exit code.

Nothing beyond argparse is imported before the subcommand is known, so `assay --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from assay_runner import __version__

_RUNS_TASK_CODE = ("run", "plan", "work", "reduce")
_EXIT_CODES = "exit codes: 0 done; 1 failed; 64 the manifest or a task is wrong; 75 stopped, may be resumed"


def parser() -> argparse.ArgumentParser:
    """The command line, for `main` and for the documentation's tests."""
    top = argparse.ArgumentParser(
        prog="assay", description="Evaluate language and multimodal models.", epilog=_EXIT_CODES
    )
    top.add_argument("--version", action="version", version=f"assay {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="plan, work and reduce on this machine; run again, it resumes", epilog=_EXIT_CODES
    )
    run.add_argument("file", metavar="FILE", help="manifest with one EvalJob")
    run.add_argument(
        "--workers", type=_positive, metavar="N", help="worker processes (default: what this machine can use)"
    )
    run.add_argument("--json", action="store_true", help="results.json on stdout instead of a table")
    _planning(run)

    plan = commands.add_parser("plan", help="resolve tasks, pin and stage data, write plan.json", epilog=_EXIT_CODES)
    plan.add_argument("file", metavar="FILE", help="manifest with one EvalJob")
    plan.add_argument("--json", action="store_true", help="plan.json on stdout instead of a table")
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

    reduce = commands.add_parser("reduce", help="check a finished run and compute its results", epilog=_EXIT_CODES)
    reduce.add_argument("run", metavar="RUN", help="address of the run")
    reduce.add_argument("--json", action="store_true", help="results.json on stdout instead of a table")

    results = commands.add_parser("results", help="show the results of a run", epilog=_EXIT_CODES)
    results.add_argument("run", metavar="RUN", help="address of the run")
    results.add_argument("--json", action="store_true", help="results.json on stdout instead of a table")

    tasks = commands.add_parser("tasks", help="list the tasks there are", epilog=_EXIT_CODES)
    tasks.add_argument(
        "--source", action="append", default=[], metavar="FOLDER", help="also list the tasks of this folder"
    )
    tasks.add_argument("--json", action="store_true", help="as JSON")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    if arguments is None and options.command in _RUNS_TASK_CODE:
        _fix_hashes()
    from assay_api.errors import EXIT_STOPPED, AssayError

    try:
        return _dispatch(options)
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("assay: stopped.", file=sys.stderr)
        return EXIT_STOPPED


def _fix_hashes() -> None:
    """Start anew with a fixed seed for hashes: the order of a set of texts must not depend on the process that a task's
    Python runs in."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "assay_runner", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


def _dispatch(options: argparse.Namespace) -> int:
    match options.command:
        case "run":
            from assay_runner.cli.run import run

            return run(options)
        case "plan":
            from assay_runner.cli.plan import plan

            return plan(options)
        case "work":
            from assay_runner.cli.work import work

            return work(options)
        case "reduce":
            from assay_runner.cli.results import reduce

            return reduce(options)
        case "results":
            from assay_runner.cli.results import results

            return results(options)
        case _:
            from assay_runner.cli.tasks import tasks

            return tasks(options)


def _planning(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store", metavar="URI", help="where runs are kept (default: spec.storage, else ./assay-runs)"
    )
    command.add_argument("--limit", type=_positive, metavar="N", help="only the first N documents of every task")


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
