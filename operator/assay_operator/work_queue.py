"""The operator's work queue: each key at most once waiting and once under work, retries with backoff, delayed looks, and
what cannot wait before what can.

An event for a key that is being reconciled makes it be reconciled once more afterwards. A key's failures are counted until
it succeeds, so that events which its own writes cause cannot defeat the backoff.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._first: dict[K, float] = {}
        """Keys that wait and come first, in order, with when they came in."""
        self._rest: dict[K, float] = {}
        self._idle: deque[tuple[bool, asyncio.Future[None]]] = deque()
        """Who waits for a key, and whether only for one that comes first."""
        self._busy: dict[K, bool] = {}
        """Keys under work, and whether they came first."""
        self._dirty: dict[K, bool] = {}
        """Keys under work that something asked for meanwhile, and whether they come first."""
        self._timers: dict[K, tuple[asyncio.TimerHandle, bool]] = {}
        """Keys that wait for their time, and whether they come first then."""
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    @property
    def oldest(self) -> float:
        """Seconds that the key that waits longest has waited."""
        return self._clock() - min((*self._first.values(), *self._rest.values()), default=self._clock())

    def add(self, key: K, *, first: bool = False) -> None:
        """Have `key` reconciled soon, and `first` before all that are not; not twice when it is already waiting."""
        if (timed := self._timers.pop(key, None)) is not None:
            timed[0].cancel()
            first = first or timed[1]
        if key in self._busy:
            self._dirty[key] = first or self._dirty.get(key, False)
            return
        if key in self._first or (key in self._rest and not first):
            return
        since = self._rest.pop(key, self._clock())
        (self._first if first else self._rest)[key] = since
        self._wake(first=first)

    def add_later(self, key: K, seconds: float, *, first: bool = False) -> None:
        """Have `key` reconciled after so long, or earlier if something asks for it, and then `first` if it was to be."""
        if key in self._first or key in self._rest or key in self._dirty:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        before, was_first = self._timers.get(key, (None, False))
        if before is not None and before.when() <= due:
            self._timers[key] = (before, first or was_first)
            return
        if before is not None:
            before.cancel()
        self._timers[key] = (loop.call_at(due, self._ring, key), first or was_first)

    async def take(self, *, only_first: bool = False) -> K:
        """The next key, or the next that comes first; it must be given back with `done`."""
        while not (self._first or (self._rest and not only_first)):
            asleep = asyncio.get_running_loop().create_future()
            self._idle.append((only_first, asleep))
            await asleep
        waiting = self._first or self._rest
        key = next(iter(waiting))
        self._busy[key] = key in self._first
        self._on_take(self._clock() - waiting.pop(key))
        if self._rest:
            # Whoever was woken for it may have got one that comes first.
            self._wake(first=False)
        return key

    def done(self, key: K, *, failed: bool = False, again_in: float | None = None, undone: bool = False) -> None:
        """Give `key` back: it failed and is tried again after a pause, or wants another look after `again_in` seconds. That look
        comes first, if this one did, when it failed or what was due is `undone`."""
        came_first = self._busy.pop(key)
        if failed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            first = self._dirty.pop(key, False) or came_first
            self.add_later(key, self._backoff(failures), first=first)
            return
        self._failures.pop(key, None)
        if key in self._dirty:
            self.add(key, first=self._dirty.pop(key))
        elif again_in is not None:
            self.add_later(key, again_in, first=undone and came_first)

    def _wake(self, *, first: bool) -> None:
        """Wake somebody for a key; one that comes first is left to those that take no other, if they have time."""
        self._idle = deque(one for one in self._idle if not one[1].done())
        for wanted in (True, False) if first else (False,):
            for one in self._idle:
                if one[0] == wanted:
                    self._idle.remove(one)
                    one[1].set_result(None)
                    return

    def _backoff(self, failures: int) -> float:
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 20))
        return longest * (0.5 + self._random.random() / 2)

    def _ring(self, key: K) -> None:
        self.add(key)
