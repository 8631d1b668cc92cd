"""`assay watch URI`: what the pod of a schedule runs: wait for checkpoints, number them in the store, tell of them and end."""

from __future__ import annotations

import argparse
import signal
import threading
import time

from assay_api import layout
from assay_api.errors import EXIT_DONE, Stopped
from assay_runner.cli.report import write_report
from assay_runner.plan.write import as_probed, probed_once
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.watch.numbers import Numbers
from assay_runner.watch.places import open_place
from assay_runner.watch.watcher import Wanted, Watcher
from assay_runner.watch.watcher import watch as watched


def watch(options: argparse.Namespace) -> int:
    """Watch, and print what has landed; nothing, after a while, is an outcome too.

    Raises:
        SpecError: an address is wrong.
        Failed: prefix or storage cannot be used, or hold something else than they did.
        Stopped: SIGTERM came.
    """
    # Not as an exception: where it came in a callback of the interpreter's it would be lost, and the watch would go on.
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Stopped("The watcher was asked to stop.")

    root, part = layout.split_run(options.numbers)
    store = Prefixed(open_store(root, None), part)
    numbers = Numbers(as_probed(store, probed_once(store)), options.uri)
    wanted = Wanted(options.pattern, options.ready_file, options.settle)
    told = watched(
        Watcher(open_place(options.uri), numbers, wanted, time.monotonic),
        numbers,
        after=options.after,
        poll=options.poll,
        patience=options.patience,
        clock=time.monotonic,
        pause=pause,
    )
    for landed in told.found:
        print(f"{landed.number}  {landed.name}")
    write_report(options, told)
    return EXIT_DONE
