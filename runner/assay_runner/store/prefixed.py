"""A part of a store as a store of its own: a run sees only what lies below its own prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from assay_runner.store.base import Store
from assay_runner.store.keys import below, check_folder, check_key


class Prefixed:
    """What lies below `prefix` in `store`."""

    def __init__(self, store: Store, prefix: str) -> None:
        """`prefix` ends in `/`.

        Raises:
            StoreDenied: it does not, or cannot be the beginning of a key.
        """
        self._store, self._prefix = store, check_folder(prefix)

    @property
    def uri(self) -> str:
        """The root's URI and the prefix, without a slash at the end."""
        return below(self._store.uri, self._prefix).removesuffix("/")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """As of the whole store, below the prefix."""
        return self._store.put_if_absent(self._key(key), data)

    def put(self, key: str, data: bytes) -> None:
        """As of the whole store, below the prefix."""
        self._store.put(self._key(key), data)

    def put_file(self, key: str, path: Path) -> None:
        """As of the whole store, below the prefix."""
        self._store.put_file(self._key(key), path)

    def get(self, key: str) -> bytes:
        """As of the whole store, below the prefix."""
        return self._store.get(self._key(key))

    def delete(self, key: str) -> None:
        """As of the whole store, below the prefix."""
        self._store.delete(self._key(key))

    def sweep(self, prefix: str) -> None:
        """As of the whole store, below the prefix."""
        self._store.sweep(self._prefix + check_folder(prefix))

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """As of the whole store, with keys relative to the prefix."""
        for key in self._store.list(self._prefix + check_folder(prefix), recursive=recursive):
            yield key.removeprefix(self._prefix)

    def location(self, key: str) -> str:
        """As of the whole store, below the prefix."""
        return self._store.location(self._key(key))

    def _key(self, key: str) -> str:
        return self._prefix + check_key(key)
