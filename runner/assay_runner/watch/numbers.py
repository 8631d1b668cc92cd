"""The numbers of a schedule's checkpoints, in the store: contiguous, each written once, the same for every watcher.

Two watchers at once, one that was killed and one that was started again all end up with the same numbers: number n + 1 is
created exclusively, and only by who has read that the checkpoint is none of 1 to n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from assay_api import checkpoints
from assay_api.checkpoints import Checkpoint
from assay_api.errors import Corrupt, Failed
from assay_runner.store.base import NotFoundInStore, Store, StoreUnavailable

_AT_ONCE = 16


class Numbers:
    """What is numbered, as far as this watcher has seen."""

    def __init__(self, store: Store, watched: str) -> None:
        """`store` is the schedule's part of the storage, `watched` the address of the prefix."""
        self._store, self._watched = store, watched
        self._known: set[bytes] = set()
        """Digests of the names of 1 to `last`: names may be long."""
        self.last = 0

    def load(self) -> None:
        """Read all that is there.

        Raises:
            Corrupt: a number is missing, doubled, or of another prefix.
            StoreDenied, StoreUnavailable: the store cannot be read.
        """
        present = sum(checkpoints.number_of(key) is not None for key in self._store.list(checkpoints.FOUND))
        # A listing may lag behind; it only says how many to read at once, and the rest is found one by one.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for found in pool.map(self._read, range(1, present + 1)):
                if found is None:
                    raise Corrupt(
                        f"{self._store.location(checkpoints.key(self.last + 1))} is missing, and later ones are there; "
                        "somebody has deleted it. Make another EvalSchedule."
                    )
                self._take(found)
        while (found := self._read(self.last + 1)) is not None:
            self._take(found)

    def knows(self, name: str) -> bool:
        """Whether the checkpoint has a number."""
        return _digest(name) in self._known

    def add(self, name: str) -> None:
        """Give the checkpoint the next number, unless another watcher has given it one.

        Raises:
            StoreDenied, StoreUnavailable: the store cannot be written.
        """
        while not self.knows(name):
            mine = Checkpoint(number=self.last + 1, name=name, watched=self._watched)
            try:
                self._store.put_if_absent(checkpoints.key(mine.number), mine.encode())
            except StoreUnavailable:
                # Whether it was written is unknown: what is there tells.
                if self._read(mine.number) is None:
                    raise
            found = self._read(mine.number)
            if found is None:
                raise Failed(f"{self._store.location(checkpoints.key(mine.number))} was written and is not there.")
            self._take(found)

    def after(self, number: int) -> Iterator[Checkpoint]:
        """Those with larger numbers, in order.

        Raises:
            Failed: `number` was never given here.
        """
        if number > self.last:
            raise Failed(
                f"{self._store.uri} has {self.last:,} numbered checkpoints, and {number:,} were told of: the template's "
                "storage was changed or emptied. Set it back, or make another EvalSchedule."
            )
        for each in range(number + 1, self.last + 1):
            if (found := self._read(each)) is not None:
                yield found

    def _read(self, number: int) -> Checkpoint | None:
        key = checkpoints.key(number)
        try:
            found = Checkpoint.decode(self._store.get(key), self._store.location(key))
        except NotFoundInStore:
            return None
        if (found.number, found.watched) != (number, self._watched):
            raise Corrupt(f"{self._store.location(key)} is number {found.number} of {found.watched}.")
        return found

    def _take(self, found: Checkpoint) -> None:
        if self.knows(found.name):
            raise Corrupt(f"{self._store.location(checkpoints.key(found.number))}: {found.name} has two numbers.")
        self._known.add(_digest(found.name))
        self.last = found.number


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
