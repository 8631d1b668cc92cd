"""Looking again and again, past an API server that blinks.

A GET every second rather than a watch: it needs no resource versions, no bookmarks and no second way of finding out what
was missed, and a control plane serves it from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from assay_runner.cluster.answers import ApiUnavailable

T = TypeVar("T")

EVERY = 1.0
PATIENCE = 120.0


def looks(
    look: Callable[[], T],
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """What `look` sees, every second for ever. `note` is told when the server stops answering and when it answers again.

    Raises:
        ApiUnavailable: the server has not answered for two minutes.
    """
    silent_since: float | None = None
    while True:
        try:
            seen = look()
        except ApiUnavailable as error:
            if silent_since is None:
                silent_since = clock()
                note(f"{error} Trying again for {PATIENCE:.0f} s.")
            elif clock() - silent_since >= PATIENCE:
                raise
        else:
            if silent_since is not None:
                silent_since = None
                note("The API server answers again.")
            yield seen
        sleep(EVERY)
