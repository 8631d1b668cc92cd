"""Units of a sample: documents, or clusters of documents, as numbers, and the items of each unit."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Clusters: TypeAlias = Sequence[Hashable] | NDArray[np.int64]
"""For each item what its cluster is called: names, or numbers that stand for them."""


def numbered(clusters: Clusters) -> tuple[NDArray[np.int64], int]:
    """Each item's cluster as a number, from 0 without gaps in the order of first appearance, and how many there are."""
    if isinstance(clusters, np.ndarray):
        _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
        place = np.empty(len(first), dtype=np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        return place[inverse], len(first)
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    return np.array([places[name] for name in clusters], dtype=np.int64), len(places)


def members(units: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The places of each unit's items, in order; units are numbered from 0 without gaps."""
    order = np.argsort(units, kind="stable")
    ends = np.cumsum(np.bincount(units)).tolist()
    start = 0
    for end in ends:
        yield order[start:end]
        start = end
