"""Staging documents into a store, and reading any range of them back.

Blocks and large media are content-addressed (`data/blocks/<sha256>`, `data/media/<sha256>`): written first, shared
by all data sets of the store, and harmless when a staging dies half-way. Last comes the index at
`data/<fingerprint>/index.json`. A staging in place leaves media in their files and lists blocks that hold paths; it
writes `index-local.json`, which holds only where those files are, and which readers use when there is no
`index.json`.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from assay_api.base import sha256
from assay_api.errors import Corrupt, Failed, SpecError
from assay_api.plan import DataPin
from assay_runner.data.archives import Member
from assay_runner.data.blocks import INLINE, Block, BlockEntry, DataIndex, Source, cut, fingerprint, pack, unpack
from assay_runner.data.hashing import decode
from assay_runner.data.media_cache import MediaCache
from assay_runner.data.values import Doc, NotPlainError, plain_row
from assay_runner.media import Media, MediaError
from assay_runner.store.base import NotFoundInStore, Store

__all__ = ["ANYWHERE", "Doc", "Documents", "stage"]

_BLOCKS = "data/blocks/"
_MEDIA = "data/media/"
_PORTABLE = "index.json"
_LOCAL = "index-local.json"
IN_ORDER = 1 << 20
"""Bytes of blocks and large media that a reader keeps when documents are read in order; a larger block is kept alone."""
ANYWHERE = 64 << 20
"""The same when documents are picked from all over, as few-shot examples are."""


def stage(store: Store, rows: Iterable[Doc], source: str, *, in_place: bool) -> DataPin:
    """Write documents into the store and pin them; memory holds one block at a time.

    With `in_place`, media that lie in files stay there and only their absolute paths are stored: for readers that
    see the same files. The fingerprint is the same either way. Documents that are staged already are not uploaded
    again, except to find out.

    Args:
        store: opened at the storage's root, not at a run.
        rows: documents; values that are not plain are made so (see `values.plain`).
        source: for people, see `DataPin`.
        in_place: whether readers see the files that media lie in.

    Raises:
        SpecError: a document is too large, or holds what cannot be kept.
        Failed: a medium's file changed while it was staged, or the store refused.
        Corrupt: an index of this fingerprint exists and contradicts it.
    """
    writer = _Writer(store, in_place)
    entries: list[BlockEntry] = []
    documents = 0
    for block in cut(_plain(rows, source), source, writer.place):
        entries.append(writer.write(block, documents))
        documents = entries[-1].stop
    index = DataIndex(
        fingerprint=fingerprint((entry.stop - entry.start, entry.digest) for entry in entries),
        documents=documents,
        blocks=tuple(entries),
    )
    pin = DataPin(fingerprint=index.fingerprint, documents=documents, source=source)
    if _publish(store, index, _LOCAL if writer.left_in_place else _PORTABLE):
        return pin
    # Another machine's paths are listed already: a copy that both can read goes before them.
    return stage(store, Documents(store, pin, index), source, in_place=False)


def _plain(rows: Iterable[Doc], source: str) -> Iterator[Doc]:
    for number, row in enumerate(rows):
        try:
            yield plain_row(row)
        except NotPlainError as error:
            raise SpecError(
                source, f"document {number}", str(error), "keep plain data and media in documents"
            ) from error


def _publish(store: Store, index: DataIndex, name: str) -> bool:
    """Write the index; False when one with other paths is there and no portable one is."""
    key = f"data/{index.fingerprint}/{name}"
    if store.put_if_absent(key, index.encode()):
        return True
    there = DataIndex.decode(store.get(key), store.location(key))
    if there.fingerprint != index.fingerprint:
        raise Corrupt(f"{store.location(key)} is the index of other documents; delete it and plan the run again.")
    return name == _PORTABLE or there == index or _has_portable(store, index.fingerprint)


def _has_portable(store: Store, wanted: str) -> bool:
    key = f"data/{wanted}/{_PORTABLE}"
    try:
        return DataIndex.decode(store.get(key), store.location(key)).fingerprint == wanted
    except NotFoundInStore:
        return False


class _Writer:
    """Puts blocks and large media into the store, those only that it lacks."""

    def __init__(self, store: Store, in_place: bool) -> None:
        self._store, self._in_place = store, in_place
        self._known: dict[str, set[str]] = {}
        self.left_in_place = False

    def place(self, medium: Media) -> Source:
        """Where the medium lies from now on."""
        if self._in_place and isinstance(medium.source, Path | Member):
            self.left_in_place = True
            return medium.source.absolute()
        try:
            data = medium.read()
        except MediaError as error:
            raise Failed(f"A medium cannot be staged: {error}.") from error
        if medium.size <= INLINE:
            return data
        self._put(_MEDIA, medium.sha256, data)
        return None

    def write(self, block: Block, start: int) -> BlockEntry:
        """Store the block that begins at document `start`."""
        data = pack(block)
        name = sha256(data)
        self._put(_BLOCKS, name, data)
        return BlockEntry(key=_BLOCKS + name, start=start, stop=start + len(block.rows), digest=block.digest)

    def _put(self, folder: str, name: str, data: bytes) -> None:
        known = self._known.get(folder)
        if known is not None and folder + name in known:
            return
        if not self._store.put_if_absent(folder + name, data) and known is None:
            # The first object that is there already shows an earlier staging: one listing spares sending the others.
            self._known[folder] = set(self._store.list(folder))


class Documents:
    """The documents of a pin, read by row; everything read is checked against the pin. Safe to use from several
    threads."""

    def __init__(
        self,
        store: Store,
        pin: DataPin,
        index: DataIndex | None = None,
        *,
        kept: int = IN_ORDER,
        cache: MediaCache | None = None,
    ) -> None:
        """
        Args:
            store: opened at the storage's root, not at a run.
            pin: what the plan names.
            index: when it is known already; else it is read with the first documents.
            kept: bytes that are kept of what was read.
            cache: where large media are kept on this machine.
        """
        self._store, self._pin, self._known = store, pin, index
        self._kept, self._media = kept, cache
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, Block | bytes] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        return self._pin.documents

    def __iter__(self) -> Iterator[Doc]:
        for entry in self._index().blocks:
            yield from self.read(entry.start, entry.stop)

    def read(self, start: int, stop: int) -> list[Doc]:
        """Documents `start` up to `stop`; only their blocks are fetched. Every call returns documents of its own.

        Raises:
            IndexError: the range leaves the documents.
            Corrupt: an object is missing or is not what was planned.
            StoreUnavailable: the store does not answer.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"documents {start} to {stop} of {len(self)}")
        if start == stop:
            return []
        blocks = self._index().blocks
        docs: list[Doc] = []
        first = bisect_right(blocks, start, key=lambda entry: entry.start) - 1
        for entry in blocks[first:]:
            if entry.start >= stop:
                break
            block = self._block(entry)
            rows = block.rows[max(start - entry.start, 0) : stop - entry.start]
            docs += [self._decode(row, block, entry) for row in rows]
        return docs

    def _decode(self, row: bytes, block: Block, entry: BlockEntry) -> Doc:
        def medium(kind: str, mime: str, digest: bytes, size: int) -> Media:
            if digest not in block.media:
                raise ValueError(f"the medium {digest.hex()} is not in its table")
            held = block.media[digest]
            source = _Stored(self, digest.hex()) if held is None else held
            return Media(cast(Literal["image", "audio", "video"], kind), mime, digest.hex(), size, source)

        try:
            return decode(row, medium)
        except (ValueError, TypeError) as error:
            raise Corrupt(f"{self._store.location(entry.key)} holds a malformed document ({error}).") from error

    def _index(self) -> DataIndex:
        with self._lock:
            if self._known is None:
                self._known = self._read_index()
            return self._known

    def _read_index(self) -> DataIndex:
        folder = f"data/{self._pin.fingerprint}/"
        for name in (_PORTABLE, _LOCAL):
            where = self._store.location(folder + name)
            try:
                index = DataIndex.decode(self._store.get(folder + name), where)
            except NotFoundInStore:
                continue
            if index.fingerprint != self._pin.fingerprint or index.documents != self._pin.documents:
                raise Corrupt(f"{where} is the index of other documents than the plan's.")
            return index
        raise Corrupt(
            f"{self._store.location(folder + _PORTABLE)} is missing: the planned documents are no longer in the store."
        )

    def _block(self, entry: BlockEntry) -> Block:
        held = self._held_or_none(entry.key)
        if isinstance(held, Block):
            return held
        block = unpack(self._get(entry.key), entry, self._store.location(entry.key))
        self._keep(entry.key, block, block.size)
        return block

    def large(self, digest: str) -> bytes:
        """A medium that is an object of its own, by its SHA-256.

        Raises:
            Corrupt: the object is missing or is not what was planned.
            StoreUnavailable: the store does not answer.
        """
        key = _MEDIA + digest
        held = self._held_or_none(key)
        if isinstance(held, bytes):
            return held
        data = self._media.get(digest, lambda: self._checked(key)) if self._media else self._checked(key)
        self._keep(key, data, len(data))
        return data

    def _checked(self, key: str) -> bytes:
        data = self._get(key)
        if sha256(data) != key.removeprefix(_MEDIA):
            raise Corrupt(
                f"{self._store.location(key)} is not what was stored (its SHA-256 changed); delete it and plan anew."
            )
        return data

    def _get(self, key: str) -> bytes:
        try:
            return self._store.get(key)
        except NotFoundInStore as error:
            raise Corrupt(
                f"{self._store.location(key)} is missing: the planned documents are no longer in the store."
            ) from error

    def _held_or_none(self, key: str) -> Block | bytes | None:
        with self._lock:
            if key not in self._cache:
                return None
            self._cache.move_to_end(key)
            return self._cache[key]

    def _keep(self, key: str, held: Block | bytes, size: int) -> None:
        with self._lock:
            if key in self._cache:
                return
            self._cache[key] = held
            self._held += size
            while self._held > self._kept and len(self._cache) > 1:
                _, oldest = self._cache.popitem(last=False)
                self._held -= oldest.size if isinstance(oldest, Block) else len(oldest)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A large medium in the store, fetched when it is read: many questions wait for a model at a time, and their videos
    need not."""

    documents: Documents
    digest: str

    def read(self) -> bytes:
        return self.documents.large(self.digest)

    def __str__(self) -> str:
        return f"the medium {self.digest[:12]}"
