"""The operator's work queue: each key at most once waiting and once under work, retries with backoff, delayed looks.

An event for a key that is being reconciled makes it be reconciled once more afterwards. A key's failures are counted until
it succeeds, so that events which its own writes cause cannot defeat the backoff.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from random import Random
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 60.0


class WorkQueue(Generic[K]):
    """Keys waiting for a worker. To be used from one event loop."""

    def __init__(
        self, random: Random, clock: Callable[[], float], on_take: Callable[[float], None] = lambda seconds: None
    ) -> None:
        """`clock` gives seconds, like the loop's; `on_take` is told how long each key has waited."""
        self._random, self._clock, self._on_take = random, clock, on_take
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}
        """Keys in `_ready`, with when they came in."""
        self._busy: set[K] = set()
        self._dirty: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Seconds that the first waiting key has waited."""
        return self._clock() - min(self._waiting.values(), default=self._clock())

    def add(self, key: K) -> None:
        """Have `key` reconciled soon, unless it is already waiting."""
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if key in self._busy:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting[key] = self._clock()
            self._ready.put_nowait(key)

    def add_later(self, key: K, seconds: float) -> None:
        """Have `key` reconciled after so long, or earlier if something asks for it."""
        if key in self._waiting or key in self._dirty:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        before = self._timers.get(key)
        if before is not None:
            if before.when() <= due:
                return
            before.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    async def take(self) -> K:
        """The next key; it must be given back with `done`."""
        key = await self._ready.get()
        self._on_take(self._clock() - self._waiting.pop(key))
        self._busy.add(key)
        return key

    def done(self, key: K, *, failed: bool = False, again_in: float | None = None) -> None:
        """Give `key` back: it failed and is tried again after a pause, or wants another look after `again_in` seconds."""
        self._busy.discard(key)
        if failed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self._dirty.discard(key)
            self.add_later(key, self._backoff(failures))
            return
        self._failures.pop(key, None)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)
        elif again_in is not None:
            self.add_later(key, again_in)

    def _backoff(self, failures: int) -> float:
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 20))
        return longest * (0.5 + self._random.random() / 2)

    def _ring(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
