"""What the reducer keeps of a task's records while it reads them: items by metric, clusters, errors. A few bytes per item."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from assay_api.errors import Corrupt
from assay_api.layout import ChunkId, sample_id
from assay_api.plan import TaskPlan
from assay_runner.reduce.chunk_tally import CLUSTER, NO_CLUSTER, ChunkTally, Column

T = TypeVar("T")


@dataclass(slots=True)
class Items:
    """The items of one metric in planned order; numbers of one type lie in an array."""

    kind: str = ""
    """Type code of the array, see `Column`; empty for a list."""
    values: array[Any] | list[Any] = field(default_factory=list)
    ballots: array[int] = field(default_factory=lambda: array("i"))
    """With repeats, for each item: which of its document's items has the same answer first, see `Column`."""
    _places: list[range | NDArray[np.int64]] = field(default_factory=list)
    """Places of the items' samples, in pieces."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def plain(self) -> Sequence[Any]:
        """The items as JSON data."""
        return list(map(bool, self.values)) if self.kind == "b" else self.values

    @property
    def samples(self) -> NDArray[np.int64]:
        """For each item its sample's place in the task, which is document × repeats + repeat; made at every call."""
        pieces = [np.arange(piece.start, piece.stop) if isinstance(piece, range) else piece for piece in self._places]
        return np.concatenate(pieces, dtype=np.int64) if pieces else np.empty(0, dtype=np.int64)

    def extend(self, column: Column, samples: range) -> None:
        """Add the items of further samples."""
        self._extend_values(column)
        self.ballots.frombytes(column.ballots or b"")
        if column.places is not None:
            self._places.append(np.frombuffer(column.places, dtype=np.intc).astype(np.int64) + samples.start)
            return
        last = self._places[-1] if self._places else None
        if isinstance(last, range) and last.stop == samples.start:
            self._places[-1] = range(last.start, samples.stop)
        else:
            self._places.append(samples)

    def _extend_values(self, column: Column) -> None:
        """Values of another type than before turn the array into a list."""
        if column.kind and column.kind == self.kind and isinstance(self.values, array):
            self.values.frombytes(column.values)
            return
        self.values, self.kind = list(self.plain), ""
        values = array(column.kind, column.values) if column.kind else column.values
        self.values.extend(map(bool, values) if column.kind == "b" else values)


class Documents:
    """Which items belong to the same document, for tasks with repeats."""

    def __init__(self, items: Items, repeats: int) -> None:
        self.of_items = items.samples // repeats
        """For each item the number of its document."""
        self.starts = np.flatnonzero(np.diff(self.of_items, prepend=-1))
        """Place of each document's first item."""
        self._ends = [*self.starts[1:].tolist(), len(items)]

    def __len__(self) -> int:
        return len(self.starts)

    def split(self, values: Sequence[T]) -> Iterable[Sequence[T]]:
        """The values of each document's items; to be gone through as often as is wanted."""
        return _Parts(values, self.starts.tolist(), self._ends)


@dataclass(frozen=True, slots=True)
class _Parts(Generic[T]):
    values: Sequence[T]
    starts: list[int]
    ends: list[int]

    def __iter__(self) -> Iterator[Sequence[T]]:
        # Without documents there is still one end.
        return (self.values[start:end] for start, end in zip(self.starts, self.ends, strict=False))


@dataclass(slots=True)
class TaskTally:
    """One task of a run, fed chunk by chunk in planned order."""

    plan: TaskPlan
    items: dict[str, Items] = field(default_factory=dict)
    """Key of the item in the records (`metric` or `metric,filter`) → items."""
    errors: Counter[str] = field(default_factory=Counter)
    _clusters: bytearray = field(default_factory=bytearray)
    """Digest of each document's cluster, as far as documents with a cluster were met."""
    _numbers: NDArray[np.int64] | None = None
    """The same as numbers, once they were asked for."""

    def add(self, chunk: ChunkId, tally: ChunkTally) -> None:
        """Take in the next chunk."""
        start, stop = self.plan.boundaries[chunk.index], self.plan.boundaries[chunk.index + 1]
        if tally.errors:
            self.errors.update(tally.errors)
        if tally.clusters:
            self._clusters.extend(bytes(CLUSTER * start - len(self._clusters)))
            self._clusters.extend(tally.clusters)
        samples = range(start * self.plan.repeats, stop * self.plan.repeats)
        for key, column in tally.columns.items():
            found = self.items.setdefault(key, Items(column.kind, array(column.kind) if column.kind else []))
            found.extend(column, samples)

    def clusters(self, items: Items) -> NDArray[np.int64] | None:
        """For each item a number that stands for its document's cluster; None for a task without clusters. For when
        every chunk was taken in.

        Raises:
            Corrupt: some documents have a cluster and others have none.
        """
        if not self._clusters:
            return None
        documents = items.samples // self.plan.repeats
        digests = np.frombuffer(self._clusters, dtype=f"V{CLUSTER}")
        known = documents[documents < len(digests)]
        lost = documents[len(known) :] if len(known) < len(documents) else known[digests[known] == np.void(NO_CLUSTER)]
        if len(lost):
            sample = sample_id(self.plan.name, int(lost[0]), 0)
            raise Corrupt(f"The record of {sample} names no cluster, though others of its task do.")
        if self._numbers is None:
            self._numbers = _numbered(np.frombuffer(self._clusters, dtype=np.uint64).reshape(-1, 2))
        return self._numbers[documents]


def _numbered(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A number for each of n×2 digests, the same for equal ones."""
    order = np.lexsort(digests.T)
    ranked = digests[order]
    numbers = np.zeros(len(digests), dtype=np.int64)
    numbers[order[1:]] = np.cumsum((ranked[1:] != ranked[:-1]).any(axis=1))
    return numbers
