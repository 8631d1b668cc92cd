"""The one interface between Assay and where it keeps things.

Keys are `/`-separated, relative to the root the store was opened at, and never start with `/`. All calls block and may be
made from several threads. A store retries passing faults itself, with bounded backoff; what it raises is its last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from assay_api.errors import Failed


class NotFoundInStore(Failed):
    """There is no object at the key."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} does not exist in the store.")


class StoreUnavailable(Failed):
    """The store could not be reached or did not answer sensibly; whether a write took effect is unknown."""


class StoreDenied(Failed):
    """The store refused: missing bucket, wrong credentials or no permission. Trying again cannot help."""


class Store(Protocol):
    """Objects by key."""

    @property
    def uri(self) -> str:
        """The root, as a URI a person can use again."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object; False, and nothing written, when it exists already.

        True and False are certain. An answer that was lost raises, and the caller looks at what is there.

        Raises:
            StoreUnavailable: the outcome is unknown.
            StoreDenied: the store refused.
        """
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing what was there. Readers see the old or the new bytes, never a mixture."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Write the bytes of the file, replacing what was there, in memory that does not grow with them. The file stays and
        must not change meanwhile."""
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            NotFoundInStore: there is none.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; harmless when there is none. Only `assay delete` does."""
        ...

    def sweep(self, prefix: str) -> None:
        """Remove what writers that were killed left unfinished below `prefix` (a folder, ending in `/`, or ""), which no
        listing shows. Only `assay delete` does; nobody may be writing there."""
        ...

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Keys below `prefix` (a folder, ending in `/`), in order; without `recursive` only direct children that are objects."""
        ...

    def location(self, key: str) -> str:
        """The object's address for a person, for messages."""
        ...
