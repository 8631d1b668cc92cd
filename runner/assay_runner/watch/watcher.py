"""Waits until checkpoints have landed, numbers them in natural order, and says which: one look after the other.

A checkpoint has landed when its ready file is there or, where none is asked for, when nothing in it has changed for a
while by this process's own monotonic clock. A watcher that is started anew measures anew; what has a number keeps it.
"""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydantic import TypeAdapter, ValidationError

from assay_api.checkpoints import Checkpoint
from assay_api.reports import LARGEST, Landed, Watched
from assay_api.texts import CheckpointName
from assay_runner.watch.numbers import Numbers
from assay_runner.watch.places import Child, Place

LOOKED_AT = 1000
"""Checkpoints without a number that are looked at at a time, the first in natural order."""
MOST_TOLD = 32
"""Checkpoints in one report."""
_AT_ONCE = 16

_PARTS = re.compile(r"([0-9]+)")
_NAME: TypeAdapter[str] = TypeAdapter(CheckpointName)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What counts as a checkpoint, and when it has landed."""

    pattern: str
    ready_file: str | None
    settle: float
    """Seconds without a change; only without `ready_file`."""


class Watcher:
    """Looks at one prefix."""

    def __init__(self, place: Place, numbers: Numbers, wanted: Wanted, clock: Callable[[], float]) -> None:
        """`clock` gives seconds and never goes back."""
        self._place, self._numbers, self._wanted, self._clock = place, numbers, wanted, clock
        self._since: dict[str, tuple[bytes, float]] = {}
        """Name → how its content was, and since when."""
        self._refused: set[str] = set()

    def look(self) -> None:
        """Number what has landed.

        Raises:
            StoreDenied, StoreUnavailable: prefix or storage cannot be used.
        """
        began = self._clock()
        waiting = heapq.nsmallest(LOOKED_AT, self._unnumbered(), key=lambda child: natural(child.name))
        landed = self._with_ready_file(waiting) if self._wanted.ready_file else self._settled(waiting, began)
        for child in landed:
            self._numbers.add(child.name)

    def _unnumbered(self) -> Iterator[Child]:
        for child in self._place.children():
            if not fnmatchcase(child.name, self._wanted.pattern):
                continue
            try:
                name = _NAME.validate_python(child.name)
                known = self._numbers.knows(name)
            except (ValidationError, UnicodeEncodeError):
                if len(self._refused) < LOOKED_AT and child.name not in self._refused:
                    self._refused.add(child.name)
                    print(f"assay: {child.name!r} is left out: such a name cannot be used.", file=sys.stderr)
                continue
            if not known:
                yield child

    def _with_ready_file(self, waiting: list[Child]) -> Iterable[Child]:
        file = self._wanted.ready_file or ""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = pool.map(lambda child: self._place.holds(child, file), waiting)
            return [child for child, ready in zip(waiting, there, strict=True) if ready]

    def _settled(self, waiting: list[Child], began: float) -> Iterable[Child]:
        """Those that were the same from the end of an earlier look to the beginning of this one."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            states = list(pool.map(self._place.state, waiting))
        ended, before, self._since = self._clock(), self._since, {}
        landed = []
        for child, state in zip(waiting, states, strict=True):
            if state is None:
                continue
            earlier = before.get(child.name)
            since = earlier[1] if earlier is not None and earlier[0] == state else ended
            self._since[child.name] = (state, since)
            if began - since >= self._wanted.settle:
                landed.append(child)
        return landed


def watch(
    watcher: Watcher,
    numbers: Numbers,
    *,
    after: int,
    poll: float,
    patience: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> Watched:
    """Look every `poll` seconds until there is a checkpoint with a number above `after`, for `patience` seconds at most.

    Raises:
        Failed: prefix or storage cannot be used, or hold something else than they did.
    """
    start = clock()
    numbers.load()
    while True:
        told = report(numbers.after(after))
        if told.found:
            return told
        watcher.look()
        told = report(numbers.after(after))
        if told.found or clock() - start >= patience:
            return told
        pause(poll)


def report(found: Iterable[Checkpoint]) -> Watched:
    """As many of these, which are in order, as a termination message takes."""
    told = Watched()
    for checkpoint in found:
        landed = Landed(number=checkpoint.number, name=checkpoint.name)
        more = told.model_copy(update={"found": (*told.found, landed)})
        if len(more.found) > MOST_TOLD or len(more.encode()) > LARGEST:
            break
        told = more
    return told


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """Sorts names with their numbers as numbers: checkpoint-500 before checkpoint-1000."""
    parts = _PARTS.split(name)
    return tuple(("", int(part), part) if index % 2 else (part, -1, "") for index, part in enumerate(parts))
