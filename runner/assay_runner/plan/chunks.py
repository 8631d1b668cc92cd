"""Cuts a task's documents into chunks of about equal cost.

The cut depends on the documents alone, never on the number of workers: a plan is the same wherever it runs. Chunks are
small enough that a lost one costs little and that workers can share the end of a run, and large enough that a chunk's
commit (two writes) is cheap beside its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay_runner.media import Media

SMALLEST = 16
LARGEST = 256
WANTED = 64
"""Chunks a task is cut into when its size allows."""

_MEDIA_COST = {"image": 1_000.0, "audio": 4_000.0, "video": 16_000.0}


def document_cost(document: Mapping[str, Any]) -> float:
    """A document's rough cost relative to others of its task, in characters of text; media count for many."""
    return 100.0 + sum(_value_cost(value) for value in document.values())


def boundaries(costs: Sequence[float], size: int | None, batch: int = 1) -> tuple[int, ...]:
    """Where chunks begin and end: chunk i holds documents result[i] up to result[i + 1].

    Args:
        costs: one positive cost per document, at least one document.
        size: documents per chunk when the user fixed it; otherwise chunks hold equal cost, 16 to 256 documents.
        batch: requests that the backend runs together: chunks hold whole batches of documents, so that none but the last
            leaves it half empty.
    """
    if size is not None:
        return (*range(0, len(costs), size), len(costs))
    target = sum(costs) / WANTED
    batch = min(batch, LARGEST)
    cuts, cost = [0], 0.0
    for index in range(0, len(costs), batch):
        held, further = index - cuts[-1], sum(costs[index : index + batch])
        if held >= SMALLEST and (held + batch > LARGEST or cost + further / 2 > target):
            cuts.append(index)
            cost = 0.0
        cost += further
    return (*cuts, len(costs))


def _value_cost(value: Any) -> float:
    if isinstance(value, str):
        return float(len(value))
    if isinstance(value, Media):
        return _MEDIA_COST[value.kind]
    if isinstance(value, Mapping):
        return sum(_value_cost(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(_value_cost(inner) for inner in value)
    return 1.0
