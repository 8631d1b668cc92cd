"""Strict reading of a run: every planned chunk, every digest, exactly the planned samples, or a refusal.

Nothing is counted by listing. The plan says what must be there; a listing is used only to find what must not be there.
A record file is first scanned, which takes microseconds per row and can be done by processes beside this one. Only a file
that the scan is not sure of is read with the vocabulary's models, which accept it all the same or say what is wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from assay_api import layout
from assay_api.base import sha256
from assay_api.errors import Corrupt, Incomplete
from assay_api.layout import ChunkId
from assay_api.plan import Plan, TaskPlan
from assay_api.records import ChunkWork, Marker, RecordsHeader, SampleRecord
from assay_runner.frames import compress
from assay_runner.records import decode_records, encode_lines
from assay_runner.reduce.chunk_tally import ChunkTally, Lines, tally_chunk
from assay_runner.reduce.scan import Expected, Scanned
from assay_runner.reduce.scanners import Scanners
from assay_runner.rows import split_lines
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.work.board import plan_chunks

T = TypeVar("T")
R = TypeVar("R")

_READERS = 32
"""Markers or chunks that are read from an object store at the same time: it takes tens of milliseconds for each."""
_MARKERS_PER_FILE = 16
"""Markers that are read for each record file, so that scanning begins at once and what is missing is known soon."""
_NAMED = 20
"""Missing chunks or samples that a message names."""
_NO_LINES = Lines()


@dataclass(frozen=True, slots=True)
class VerifiedChunk:
    """One chunk, checked against marker, digest and plan, and what it contributes to the results."""

    chunk: ChunkId
    key: str
    digest: str
    samples: int
    tally: ChunkTally
    rows: bytes
    """Its rows as one zstd frame of canonical lines, in planned order."""
    data: bytes
    """The record file."""
    work: ChunkWork | None
    """Who did it and when."""

    @property
    def records(self) -> list[SampleRecord]:
        """The rows as records, decoded at every call."""
        return decode_records(self.data, self.key)[1]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which samples' lines the chunks bring along (`ChunkTally.lines`)."""

    places: Callable[[str, range], list[int]]
    """Of a task's samples in a range of places, those whose lines are wanted. Asked chunk by chunk in plan order."""
    errors: int = 0
    """As many lines of failed samples from every chunk, chosen or not."""


class Markers(dict[ChunkId, Marker]):
    """The marker of every chunk, in plan order."""

    attempts = 0
    """Record files that the store holds: more than chunks, where some were done more than once."""


def read_markers(store: Store, plan: Plan) -> Markers:
    """The commit marker of every planned chunk.

    Raises:
        Incomplete: markers are missing.
        Corrupt: a marker is empty, of another plan or chunk, lies about its data's address, or was not planned.
    """
    markers = Markers()
    for _ in marked_chunks(store, plan, markers):
        pass
    return markers


def marked_chunks(store: Store, plan: Plan, markers: Markers) -> Iterator[tuple[ChunkId, Marker]]:
    """The chunks in plan order with their markers, all of which are put into `markers`: those of files while the first
    chunks are taken, those of an object store before.

    Raises:
        Incomplete, Corrupt: as `read_markers`.
    """
    chunks = plan_chunks(plan)
    planned = frozenset(chunks)
    missing: list[ChunkId] = []
    waiting: deque[tuple[ChunkId, Marker]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as pool:
        listed = None if _of_files(store) else pool.submit(_list, store, planned)
        found = zip(chunks, _in_order(store, lambda chunk: _marker(store, plan, chunk), iter(chunks)), strict=True)
        while batch := list(islice(found, _MARKERS_PER_FILE)):
            for chunk, marker in batch:
                if marker is None:
                    missing.append(chunk)
                else:
                    markers[chunk] = marker
                    waiting.append((chunk, marker))
            if listed is None and not missing:
                yield waiting.popleft()
        markers.attempts = _list(store, planned) if listed is None else listed.result()
    if missing:
        raise Incomplete(_missing_sentence(plan, missing))
    yield from waiting


def verified_chunks(
    store: Store,
    plan: Plan,
    marked: Iterable[tuple[ChunkId, Marker]],
    *,
    scanners: Scanners | None = None,
    chosen: Chosen | None = None,
) -> Iterator[VerifiedChunk]:
    """All chunks in plan order; a few are read ahead, so memory does not grow with their number.

    Args:
        marked: all chunks in plan order, with their markers.
        scanners: processes that share the reading; without them this one does it all.

    Raises:
        Corrupt: data are gone, changed, truncated, or not exactly the planned samples.
        Failed: a scanning process was killed.
    """
    scanners = scanners or Scanners(0)
    fetched: deque[_Fetched] = deque()

    def files() -> Iterator[tuple[Expected, bytes]]:
        wanted = _with_lines(plan, marked, chosen)
        for one in _in_order(store, lambda chunk: _fetch(store, plan, *chunk), wanted):
            fetched.append(one)
            yield one.expected, one.data

    for scanned in scanners.scan(files()):
        yield _verified(store, plan, fetched.popleft(), scanned)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A record file with what is known of it."""

    chunk: ChunkId
    marker: Marker
    expected: Expected
    data: bytes


def _fetch(store: Store, plan: Plan, chunk: ChunkId, marker: Marker, lines: Lines) -> _Fetched:
    try:
        data = store.get(marker.key)
    except NotFoundInStore as error:
        where = store.location(marker.key)
        raise Corrupt(f"{where} is gone, though chunk {chunk} was committed with it.") from error
    task = plan.task(chunk.task)
    expected = Expected(
        task=task.name,
        start=task.boundaries[chunk.index],
        stop=task.boundaries[chunk.index + 1],
        repeats=task.repeats,
        digest=marker.sha256,
        errors=marker.errors,
        wanted=lines,
    )
    return _Fetched(chunk, marker, expected, data)


def _of_files(store: Store) -> bool:
    """Whether to read an object takes less time than to have another thread do it."""
    return store.uri.startswith("file:")


def _in_order(store: Store, function: Callable[[T], R], arguments: Iterator[T]) -> Iterator[R]:
    """`map` of a function that reads an object: many at a time and a bounded number ahead from an object store, one by one
    from files."""
    if _of_files(store):
        yield from map(function, arguments)
        return
    with ThreadPoolExecutor(_READERS, thread_name_prefix="objects") as pool:
        waiting: deque[Future[R]] = deque(pool.submit(function, one) for one in islice(arguments, 2 * _READERS))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, one) for one in islice(arguments, 1))
        finally:
            for future in waiting:
                future.cancel()


def _with_lines(
    plan: Plan, marked: Iterable[tuple[ChunkId, Marker]], chosen: Chosen | None
) -> Iterator[tuple[ChunkId, Marker, Lines]]:
    for chunk, marker in marked:
        lines = _NO_LINES
        if chosen is not None:
            task = plan.task(chunk.task)
            start, stop = (task.boundaries[chunk.index + end] * task.repeats for end in (0, 1))
            places = chosen.places(chunk.task, range(start, stop))
            lines = Lines([place - start for place in places], chosen.errors)
        yield chunk, marker, lines


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


def _verified(store: Store, plan: Plan, fetched: _Fetched, scanned: Scanned | None) -> VerifiedChunk:
    chunk, marker, expected = fetched.chunk, fetched.marker, fetched.expected
    samples = (expected.stop - expected.start) * expected.repeats
    header = _header(scanned.header) if scanned is not None and marker.n == samples else None
    if scanned is None or header is None or not _belongs(header, plan, chunk, marker):
        return _read_strictly(store, plan, chunk, marker, expected.wanted, fetched.data)
    rows = fetched.data[scanned.rows_at :]
    return VerifiedChunk(chunk, marker.key, marker.sha256, samples, scanned.tally, rows, fetched.data, header.work)


def _header(line: bytes) -> RecordsHeader | None:
    try:
        return RecordsHeader.decode(line, "")
    except Corrupt:
        return None


def _belongs(header: RecordsHeader, plan: Plan, chunk: ChunkId, marker: Marker) -> bool:
    said = (header.plan, header.task, header.chunk, header.attempt)
    return said == (plan.digest, chunk.task, chunk.index, marker.attempt)


def _read_strictly(
    store: Store, plan: Plan, chunk: ChunkId, marker: Marker, lines: Lines, data: bytes
) -> VerifiedChunk:
    where = store.location(marker.key)
    if (digest := sha256(data)) != marker.sha256:
        raise Corrupt(f"{where} has SHA-256 {digest[:12]}, but chunk {chunk} was committed with {marker.sha256[:12]}.")
    header, records = decode_records(data, where)
    if not _belongs(header, plan, chunk, marker):
        raise Corrupt(f"{where} says in its header that it belongs to another plan, chunk or attempt.")
    task = plan.task(chunk.task)
    _check_samples(task, chunk, records, where)
    errors = sum(record.error is not None for record in records)
    if (marker.n, marker.errors) != (len(records), errors):
        counted = f"{len(records)} records with {errors} errors"
        raise Corrupt(
            f"The marker of chunk {chunk} promises {marker.n} records with {marker.errors} errors; {where} holds {counted}."
        )
    try:
        text = encode_lines(records)
    except (TypeError, ValueError) as error:
        raise Corrupt(f"{where} holds what JSON cannot ({error}).") from error
    tally = tally_chunk(records, task.repeats, split_lines(text), lines)
    return VerifiedChunk(chunk, marker.key, digest, len(records), tally, compress(text), data, header.work)


def _check_samples(task: TaskPlan, chunk: ChunkId, records: list[SampleRecord], where: str) -> None:
    documents = range(task.boundaries[chunk.index], task.boundaries[chunk.index + 1])
    wanted = [(document, repeat) for document in documents for repeat in range(task.repeats)]
    ids = layout.sample_ids(task.name, documents, task.repeats)
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


def _list(store: Store, planned: frozenset[ChunkId]) -> int:
    """Refuse markers that were not planned, and count record files."""
    attempts = 0
    for key in store.list("chunks/"):
        attempts += key.endswith(".jsonl.zst")
        if key.endswith(".commit") and ChunkId.of_marker(key) not in planned:
            raise Corrupt(f"{store.location(key)} marks a chunk that the plan does not have.")
    return attempts


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
