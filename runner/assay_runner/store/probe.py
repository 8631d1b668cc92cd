"""Finds out, before any work is trusted to it, whether a store lets exactly one of several writers create an object, and
whether what was written is what is read.

Many S3-compatible servers accept `If-None-Match: *` and ignore it, or honour it for one writer at a time and race for
several. The objects of a probe lie below `.probe/<random>/` and stay there: they are few and tiny, nothing else reads
them, and so Assay needs no permission to delete.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from assay_api.errors import Failed
from assay_api.records import StorageProbe
from assay_runner.store.base import NotFoundInStore, Store

ROUNDS = 3
WRITERS = 8
_TOGETHER_SECONDS = 60.0
_LAGGING = " Its listings lag behind what is written, so chunks may be done twice."


def probe(
    store: Store,
    rounds: int = ROUNDS,
    writers: int = WRITERS,
    *,
    token: Callable[[], str] = secrets.token_hex,
) -> StorageProbe:
    """How `store` behaves under `rounds` races of `writers` threads.

    What a probe did not see can still happen: it finds servers that do not honour the condition, and most that race.

    Args:
        token: gives a name that no probe of this store had before.

    Raises:
        StoreDenied: the store cannot be written, read and listed.
        StoreUnavailable: it does not answer.
    """
    folder = f".probe/{token()}/"
    trouble = _readback(store, folder)
    lagging = "" if f"{folder}plain" in store.list(folder) else _LAGGING
    if trouble is None:
        trouble = _sequence(store, folder)
    if trouble is None:
        with ThreadPoolExecutor(writers) as pool:
            trouble = next(
                filter(None, (_race(store, f"{folder}{number}", pool, writers) for number in range(rounds))), None
            )
    if trouble:
        return StorageProbe(mode="fallback", reason=trouble + lagging)
    return StorageProbe(
        mode="conditional",
        reason=f"Of {writers} writers that created one object at once exactly one won, in {rounds} of {rounds} rounds."
        + lagging,
    )


def _readback(store: Store, folder: str) -> str | None:
    """What is wrong with reading what was just written, new and replaced, as a sentence."""
    key = f"{folder}plain"
    for data in (b"new", b"replaced"):
        store.put(key, data)
        try:
            if store.get(key) != data:
                return "The store lags: it still gave the old bytes of an object that had just been replaced."
        except NotFoundInStore:
            return "The store lags: an object that had just been written could not be read."
    return None


def _sequence(store: Store, folder: str) -> str | None:
    """What is wrong with two creations one after the other, as a sentence."""
    key = f"{folder}sequence"
    try:
        if not store.put_if_absent(key, b"first"):
            return "The store says that an object exists which was never written."
        if store.put_if_absent(key, b"second"):
            return "The store ignores the condition: it let a second writer create an object that existed."
        if store.get(key) != b"first":
            return "The store says that it refused a second writer, but kept that writer's bytes."
    except NotFoundInStore:
        return "An object that was just created could not be read."
    except Failed as error:
        return f"The store writes, but not on condition: {error}"
    return None


def _race(store: Store, key: str, pool: ThreadPoolExecutor, writers: int) -> str | None:
    """What is wrong with `writers` creations at once, as a sentence."""
    start = Barrier(writers)

    def create(number: int) -> bool:
        start.wait(_TOGETHER_SECONDS)
        return store.put_if_absent(key, _bytes(number))

    try:
        won = [number for number, created in enumerate(pool.map(create, range(writers))) if created]
        if len(won) != 1:
            return f"Of {writers} writers that created one object at once {len(won)} were told that they had."
        if store.get(key) != _bytes(won[0]):
            return "The bytes of the writer that was told it had created the object are not what is read."
    except NotFoundInStore:
        return "An object that was just created could not be read."
    except Failed as error:
        return f"The store could not settle a race: {error}"
    return None


def _bytes(number: int) -> bytes:
    return f"writer {number}".encode()
