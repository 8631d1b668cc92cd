"""The commit of one chunk, as a protocol without I/O: data first, marker last, first marker wins.

`commit` is a generator that yields store operations and is sent their outcomes, so that a test can interleave any number
of workers, crashes and lost answers step by step. `run_commit` drives it over a real store.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum

from assay_api.base import sha256
from assay_api.layout import ChunkId
from assay_api.records import ChunkWork, Marker, RecordsHeader, SampleRecord
from assay_runner.records import encode_records
from assay_runner.store.base import NotFoundInStore, Store, StoreUnavailable


class Outcome(Enum):
    """What became of a chunk that a worker finished."""

    COMMITTED = "committed"
    DISCARDED = "discarded"
    """Somebody else committed the chunk first; these records count for nothing."""


class Lost(Enum):
    """An answer of the store that never came: the operation may or may not have taken effect."""

    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Put:
    """Write the object; the outcome is None or UNKNOWN."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PutIfAbsent:
    """Create the object; the outcome is True, False or UNKNOWN."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Get:
    """Read the object; the outcome is its bytes, None when there is none, or UNKNOWN."""

    key: str


Operation = Put | PutIfAbsent | Get
Answer = bool | bytes | None | Lost

_TRIES = 3
"""A store insists by itself before it says that it does not know. What waits here is work that has been paid for."""


def commit(
    plan: str, chunk: ChunkId, attempt: str, records: Sequence[SampleRecord], work: ChunkWork | None = None
) -> Generator[Operation, Answer, Outcome]:
    """Commit the records of `chunk` under the plan with digest `plan`.

    Args:
        attempt: random and never used before; it is what tells one's own marker from another's.
        work: who did the chunk and when, for the story of the run.

    Raises:
        StoreUnavailable: the store gave no certain answer in several tries; the marker may or may not be there, and a
            later reader decides by reading it.
    """
    header = RecordsHeader(plan=plan, task=chunk.task, chunk=chunk.index, attempt=attempt, work=work)
    data = encode_records(header, records)
    key = chunk.data(attempt)
    marker = Marker(
        plan=plan,
        task=chunk.task,
        chunk=chunk.index,
        attempt=attempt,
        key=key,
        sha256=sha256(data),
        n=len(records),
        errors=sum(record.error is not None for record in records),
    ).encode()
    for _ in range(_TRIES):
        if (yield Put(key, data)) is not Lost.UNKNOWN:
            break
    else:
        raise StoreUnavailable(f"The records of chunk {chunk} could not be written in {_TRIES} rounds.")
    for _ in range(_TRIES):
        if (yield PutIfAbsent(chunk.marker, marker)) is True:
            return Outcome.COMMITTED
        found = yield Get(chunk.marker)
        if isinstance(found, bytes):
            return Outcome.COMMITTED if Marker.decode(found, chunk.marker).attempt == attempt else Outcome.DISCARDED
    raise StoreUnavailable(f"The marker of chunk {chunk} could not be written or read back in {_TRIES} rounds.")


def run_commit(store: Store, steps: Generator[Operation, Answer, Outcome]) -> Outcome:
    """Carry out `steps` on `store`.

    Raises:
        Failed: the store refused, or gave no certain answer; its own last word is part of the sentence.
    """
    answer: Answer = None
    lost: StoreUnavailable | None = None
    try:
        operation = next(steps)
        while True:
            try:
                answer = _carry_out(store, operation)
            except StoreUnavailable as error:
                answer, lost = Lost.UNKNOWN, error
            operation = steps.send(answer)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} {lost}" if lost else str(error)) from lost


def _carry_out(store: Store, operation: Operation) -> Answer:
    match operation:
        case Put(key, data):
            store.put(key, data)
            return None
        case PutIfAbsent(key, data):
            return store.put_if_absent(key, data)
        case Get(key):
            try:
                return store.get(key)
            except NotFoundInStore:
                return None
