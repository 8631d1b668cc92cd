"""Strict reading of a run: every planned chunk, every digest, exactly the planned samples, or a refusal.

Nothing is counted by listing. The plan says what must be there; a listing is used only to find what must not be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from assay_api import layout
from assay_api.base import sha256
from assay_api.errors import Corrupt, Incomplete
from assay_api.layout import ChunkId
from assay_api.plan import Plan, TaskPlan
from assay_api.records import ChunkWork, Marker, SampleRecord
from assay_runner.records import decode_records
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.work.board import plan_chunks

_AHEAD = 8
"""Chunks that are read ahead of the one being merged."""
_NAMED = 20
"""Missing chunks or samples that a message names."""


@dataclass(frozen=True, slots=True)
class VerifiedChunk:
    """The records of one chunk, in planned order, checked against marker, digest and plan."""

    chunk: ChunkId
    key: str
    digest: str
    records: list[SampleRecord]
    work: ChunkWork | None = None


def read_markers(store: Store, plan: Plan) -> dict[ChunkId, Marker]:
    """The commit marker of every planned chunk.

    Raises:
        Incomplete: markers are missing.
        Corrupt: a marker is empty, of another plan or chunk, lies about its data's address, or was not planned.
    """
    chunks = plan_chunks(plan)
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="markers") as pool:
        found = dict(zip(chunks, pool.map(lambda chunk: _marker(store, plan, chunk), chunks), strict=True))
    missing = [chunk for chunk, marker in found.items() if marker is None]
    _refuse_foreign(store, frozenset(chunks))
    if missing:
        raise Incomplete(_missing_sentence(plan, missing))
    return {chunk: marker for chunk, marker in found.items() if marker}


def verified_chunks(store: Store, plan: Plan, markers: Mapping[ChunkId, Marker]) -> Iterator[VerifiedChunk]:
    """All chunks in plan order; a few are read ahead.

    Raises:
        Corrupt: data are gone, changed, truncated, or not exactly the planned samples.
    """
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="records") as pool:
        todo = iter(markers.items())
        reading = [pool.submit(_verify, store, plan, *item) for item in islice(todo, _AHEAD)]
        while reading:
            yield reading.pop(0).result()
            reading += [pool.submit(_verify, store, plan, *item) for item in islice(todo, 1)]


def _marker(store: Store, plan: Plan, chunk: ChunkId) -> Marker | None:
    where = store.location(chunk.marker)
    try:
        marker = Marker.decode(store.get(chunk.marker), where)
    except NotFoundInStore:
        return None
    if (marker.task, marker.chunk) != (chunk.task, chunk.index):
        raise Corrupt(f"{where} is the marker of chunk {marker.task}/{marker.chunk:06d}, not of {chunk}.")
    if marker.plan != plan.digest:
        raise Corrupt(f"{where} was committed under plan {marker.plan[:12]}, but plan.json is {plan.digest[:12]}.")
    if marker.key != chunk.data(marker.attempt):
        raise Corrupt(f"{where} points at {marker.key}, which is not where attempt {marker.attempt} wrote this chunk.")
    return marker


def _verify(store: Store, plan: Plan, chunk: ChunkId, marker: Marker) -> VerifiedChunk:
    where = store.location(marker.key)
    try:
        data = store.get(marker.key)
    except NotFoundInStore as error:
        raise Corrupt(f"{where} is gone, though chunk {chunk} was committed with it.") from error
    if (digest := sha256(data)) != marker.sha256:
        raise Corrupt(f"{where} has SHA-256 {digest[:12]}, but chunk {chunk} was committed with {marker.sha256[:12]}.")
    header, records = decode_records(data, where)
    expected = (plan.digest, chunk.task, chunk.index, marker.attempt)
    if (header.plan, header.task, header.chunk, header.attempt) != expected:
        raise Corrupt(f"{where} says in its header that it belongs to another plan, chunk or attempt.")
    _check_samples(plan.task(chunk.task), chunk, records, where)
    errors = sum(record.error is not None for record in records)
    if (marker.n, marker.errors) != (len(records), errors):
        counted = f"{len(records)} records with {errors} errors"
        raise Corrupt(
            f"The marker of chunk {chunk} promises {marker.n} records with {marker.errors} errors; {where} holds {counted}."
        )
    return VerifiedChunk(chunk, marker.key, digest, records, header.work)


def _check_samples(task: TaskPlan, chunk: ChunkId, records: list[SampleRecord], where: str) -> None:
    planned = range(task.boundaries[chunk.index], task.boundaries[chunk.index + 1])
    wanted = [(document, repeat) for document in planned for repeat in range(task.repeats)]
    ids = [layout.sample_id(task.name, document, repeat) for document, repeat in wanted]
    found = [record.id for record in records]
    if found != ids:
        seen = set(found)
        doubled = sorted({name for name in found if found.count(name) > 1})[:_NAMED] if len(seen) < len(found) else []
        missing = [name for name in ids if name not in seen][:_NAMED]
        foreign = sorted(seen.difference(ids))[:_NAMED]
        kinds = (("doubled", doubled), ("missing", missing), ("foreign", foreign))
        said = (
            "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)
            or "the order differs from the plan's"
        )
        raise Corrupt(f"{where} does not hold exactly the planned samples ({said}).")
    for record, place in zip(records, wanted, strict=True):
        if (record.document, record.repeat) != place:
            raise Corrupt(f"{where} holds sample {record.id} with the numbers of another document or repeat.")
        if record.error is not None and record.items:
            raise Corrupt(f"{where} holds sample {record.id} with both an error and a score.")


def _refuse_foreign(store: Store, planned: frozenset[ChunkId]) -> None:
    for key in store.list("chunks/"):
        chunk = ChunkId.of_marker(key)
        if key.endswith(".commit") and (chunk is None or chunk not in planned):
            raise Corrupt(f"{store.location(key)} marks a chunk that the plan does not have.")


def _missing_sentence(plan: Plan, missing: list[ChunkId]) -> str:
    samples = 0
    ranges = []
    for chunk in missing:
        task = plan.task(chunk.task)
        start, stop = task.boundaries[chunk.index], task.boundaries[chunk.index + 1]
        samples += (stop - start) * task.repeats
        first, last = (layout.sample_id(chunk.task, document, 0) for document in (start, stop - 1))
        ranges.append(f"{chunk} (samples {first} to {last})")
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"{len(missing)} of {plan.chunks} chunks with {samples} of {plan.samples} samples are not committed: "
        f"{', '.join(ranges[:_NAMED])}{more}. Run the job again to finish them."
    )
