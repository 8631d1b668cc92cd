"""The weaker promise for stores that cannot create an object exclusively: look first, then write.

Two writers that look at the same moment both write, and the later one stands. The commit protocol bears that: each
marker points at complete data of its own, and the reducer pins the one it read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assay_runner.store.base import NotFoundInStore, Store


class CheckedStore:
    """`store`, with `put_if_absent` made of a look and a plain write."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def uri(self) -> str:
        """As of the store itself."""
        return self._store.uri

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object if nothing was there a moment before; False is certain."""
        try:
            self._store.get(key)
        except NotFoundInStore:
            self._store.put(key, data)
            return True
        return False

    def put(self, key: str, data: bytes) -> None:
        """As of the store itself."""
        self._store.put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        """As of the store itself."""
        self._store.put_file(key, path)

    def get(self, key: str) -> bytes:
        """As of the store itself."""
        return self._store.get(key)

    def delete(self, key: str) -> None:
        """As of the store itself."""
        self._store.delete(key)

    def sweep(self, prefix: str) -> None:
        """As of the store itself."""
        self._store.sweep(prefix)

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """As of the store itself."""
        return self._store.list(prefix, recursive=recursive)

    def location(self, key: str) -> str:
        """As of the store itself."""
        return self._store.location(key)
