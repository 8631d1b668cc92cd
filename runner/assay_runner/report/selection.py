"""Which samples a report shows, decided while they stream by: at most so many, of at most so many bytes.

Every sample has a priority that follows from the plan alone: a pseudo-random number, scaled so that each task gets a fair
share of the room. What fits is kept, and when it no longer fits the highest priority goes, so that what is left is an even
draw of each task. Failed samples have up to half of the room before others, and what others leave.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from assay_runner.statistics.seeds import derive_seed


class Kept(NamedTuple):
    """One sample that was kept, ordered so that the first to go comes first; no two have the same task and place."""

    order: float
    """Its priority, negative: a heap has its least element on top."""
    task: int
    place: int
    """Number of the sample in its task, in planned order."""
    row: bytes
    about: Any
    """What the caller wants back with it."""


@dataclass(slots=True)
class _Pool:
    limit: float
    """Priorities from here on are refused: one as high has gone before."""
    heap: list[Kept] = field(default_factory=list)
    size: int = 0

    def push(self, kept: Kept) -> None:
        heapq.heappush(self.heap, kept)
        self.size += len(kept.row)

    def drop(self) -> None:
        gone = heapq.heappop(self.heap)
        self.size -= len(gone.row)
        self.limit = -gone.order


class Selection:
    """The samples to show. Tasks come one after the other; within a task any order does."""

    def __init__(self, sizes: Mapping[str, int], seed: int, *, samples: int, size: int) -> None:
        """
        Args:
            sizes: samples of each task.
            samples: how many are kept at most.
            size: bytes that their rows have together at most.
        """
        self._sizes, self._seed, self._samples, self._size = sizes, seed, samples, size
        self._numbers = {task: number for number, task in enumerate(sizes)}
        self._shares = fair_shares(sizes, samples)
        self._most = math.inf if sum(sizes.values()) <= samples else 1.0
        self._scored, self._failed = _Pool(self._most), _Pool(math.inf)
        # Two tasks: one that is read ahead, and one whose samples come in.
        self._drawn = lru_cache(maxsize=2)(self._draw)
        self._asked, self._likely = "", array("q")
        self._task = ""
        self._priorities: array[float] = array("d")

    def wants(self, task: str, place: int, *, failed: bool) -> bool:
        """Whether the sample would be kept as things stand; cheap, to be asked before anything is made of a record."""
        if task != self._task:
            self._task, self._priorities = task, self._drawn(task)
        return self._priorities[place] < (self._failed if failed else self._scored).limit

    def likely(self, task: str, places: range) -> list[int]:
        """Of the task's samples at these places, those that may be kept if they did not fail, whatever comes before them."""
        if task != self._asked:
            drawn = np.frombuffer(self._drawn(task), dtype=np.float64)
            self._asked, self._likely = task, array("q", np.flatnonzero(drawn < self._most).astype(np.int64).tobytes())
        low, high = (bisect_left(self._likely, place) for place in (places.start, places.stop))
        return self._likely[low:high].tolist()

    def keep(self, task: str, place: int, row: bytes, about: Any, *, failed: bool) -> None:
        """Keep a sample that was wanted."""
        pool = self._failed if failed else self._scored
        pool.push(Kept(-self._priorities[place], self._numbers[task], place, row, about))
        while (crowded := len(self._scored.heap) + len(self._failed.heap) > self._samples) or (
            self._scored.size + self._failed.size > self._size
        ):
            much = len(self._failed.heap) > self._samples / 2 if crowded else self._failed.size > self._size / 2
            (self._failed if much or not self._scored.heap else self._scored).drop()

    def kept(self) -> Iterator[Kept]:
        """What was kept, in planned order."""
        return iter(sorted((*self._scored.heap, *self._failed.heap), key=lambda one: (one.task, one.place)))

    def _draw(self, task: str) -> array[float]:
        from numpy.random import PCG64

        count = self._sizes[task]
        # The raw stream of the generator is the same in every release of numpy; its distributions are not.
        raw = PCG64(derive_seed(self._seed, "report", task)).random_raw(count)
        drawn = array("d")
        drawn.frombytes(((raw >> 11) * (2.0**-53 * count / max(1, self._shares[task]))).tobytes())
        return drawn


def fair_shares(sizes: Mapping[str, int], room: int) -> dict[str, int]:
    """How the room is shared out: nobody gets more than its size, nobody less than others while it has more to show."""
    shares: dict[str, int] = {}
    for done, task in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        shares[task] = min(sizes[task], room // (len(sizes) - done))
        room -= shares[task]
    return shares
