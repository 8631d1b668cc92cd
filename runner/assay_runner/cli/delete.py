"""`assay delete RUN`: removes a run, or what a schedule has numbered, from the store. Documents and task files (`data/`) are
shared by runs and stay.

The address is believed only when everything that lies below it is of a run's layout, so a mistyped one deletes nothing.
`plan.json` goes last: a deletion that was interrupted can be repeated.
"""

from __future__ import annotations

import argparse
import re
from concurrent.futures import ThreadPoolExecutor

from assay_api import layout
from assay_api.errors import EXIT_DONE, Failed, SpecError
from assay_runner.store.base import Store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed

_DOCUMENTS = (
    layout.PLAN,
    layout.STORAGE,
    layout.PLACEMENT,
    layout.RESULTS,
    layout.GATES,
    layout.RUN,
    layout.SAMPLES,
    layout.REPORT,
)
_OF_A_RUN = re.compile(
    "|".join(
        [
            *map(re.escape, _DOCUMENTS),
            r"chunks/[^/]+/[0-9]{6,}(\.commit|/[^/]+\.jsonl\.zst)",
            r"progress/[^/]+\.json",
            r"found/[0-9]{6,}\.json",
            r"\.probe/[0-9a-f]+/(plain|sequence|[0-9]+)",
        ]
    )
)
_ROUNDS = 3
_AT_ONCE = 16


def delete(options: argparse.Namespace) -> int:
    """Remove every object of the run.

    Raises:
        SpecError: the address is no run's.
        Failed: the store refused, or somebody still writes to the run.
    """
    uri, prefix = layout.split_run(options.run)
    store = Prefixed(open_store(uri, None), prefix)
    count = delete_run(store)
    print(f"deleted {count:,} objects: {store.uri}" if count else f"there is nothing to delete: {store.uri}")
    return EXIT_DONE


def delete_run(store: Store) -> int:
    """Remove what lies in `store` (the run's part); the answer is how many objects that were.

    Raises:
        SpecError: there are objects that are no run's; nothing was deleted.
        Failed: the store refused, or somebody still writes to the run.
    """
    count = 0
    for _ in range(_ROUNDS):
        keys = _checked(store)
        # Anything a worker wrote meanwhile is found by another look.
        others = [key for key in keys if key != layout.PLAN]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(store.delete, others):
                count += 1
        if not others:
            for key in keys:
                store.delete(key)
            store.sweep("")
            return count + len(keys)
    raise Failed(f"{store.uri} is still being written to; end its workers and delete it again.")


def _checked(store: Store) -> list[str]:
    keys = list(store.list(""))
    for key in keys:
        if not _OF_A_RUN.fullmatch(key):
            raise SpecError(
                store.uri,
                "",
                f"this is no run: {key} lies there",
                "give the address that `assay plan` printed, which ends in <namespace>/<name>/<id>",
            )
    return keys
