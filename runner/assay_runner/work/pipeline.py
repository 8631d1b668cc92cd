"""The stages inside a worker: read documents, build requests, ask the backend, score, record, commit.

Every stage runs while the others do, with bounded queues between them: the backend is not drained between chunks, and
memory does not grow with the dataset. Task code runs in one thread of its own, so the event loop stays free for the
backend. Batches are formed inside a chunk, in planned order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

from assay_api.layout import ChunkId
from assay_api.records import ChunkWork, SampleRecord
from assay_runner.backends.base import Backend, Batch, Request, Response
from assay_runner.data.documents import Doc
from assay_runner.store.base import Store
from assay_runner.tasks.task import Sample, TaskError
from assay_runner.work.commit import Outcome, commit, run_commit
from assay_runner.work.meter import Meter
from assay_runner.work.stage import Stage

_SLICE = 32
"""Documents that are read and built in one go."""
_SCORE_AT_ONCE = 64
_GATHER = 0.02
"""Seconds in which further answers may come to be scored in one go."""
_COMMITS = 2
"""Commits under way at a time."""


@dataclass(slots=True)
class _OpenChunk:
    id: ChunkId
    started: float
    expected: int
    records: dict[str, SampleRecord] = field(default_factory=dict)
    committing: bool = False


@dataclass(slots=True)
class _OpenDocument:
    chunk: _OpenChunk
    doc: Doc
    samples: Sequence[Sample]
    responses: list[list[Response | None]]
    missing: int
    queued: list[float | None]
    """For each sample, the longest that one of its requests waited in the worker, in seconds."""

    def wait(self, repeat: int, response: Response, seconds: float) -> None:
        """Note what of the seconds since a request was built nothing else accounts for."""
        if response.latency is not None:
            waited = seconds - response.latency - (response.decoding or 0.0) - (response.encoding or 0.0)
            self.queued[repeat] = max(self.queued[repeat] or 0.0, waited)

    @property
    def answers(self) -> list[list[Response]]:
        return [[response for response in responses if response is not None] for responses in self.responses]


@dataclass(frozen=True, slots=True)
class Committed:
    """One chunk that this pipeline finished."""

    chunk: ChunkId
    outcome: Outcome
    records: Sequence[SampleRecord]
    seconds: float
    """From taking the chunk to its marker."""
    commit_seconds: float
    """Of these, for writing data and marker."""

    @property
    def errors(self) -> int:
        """Failed samples."""
        return sum(record.error is not None for record in self.records)


class Pipeline:
    """Runs chunks through the stages until there are no more to take."""

    def __init__(
        self,
        *,
        plan: str,
        store: Store,
        stages: dict[str, Stage],
        backend: Backend,
        batch_size: int,
        next_chunk: Callable[[], Awaitable[ChunkId | None]],
        on_commit: Callable[[Committed], None],
        new_attempt: Callable[[], str],
        clock: Callable[[], float],
        sign: Callable[[float], ChunkWork],
        meter: Meter,
    ) -> None:
        """`plan` is the plan's digest, `store` the run's; `next_chunk` answers None when there is nothing more to take;
        `sign` says who did a chunk that has just been finished and took so many seconds; `meter` is told what passes."""
        self._plan, self._store, self._stages, self._backend = plan, store, stages, backend
        self._batch_size, self._next_chunk, self._on_commit = batch_size, next_chunk, on_commit
        self._new_attempt, self._clock, self._sign, self._meter = new_attempt, clock, sign, meter
        self._built: asyncio.Queue[Batch | None] = asyncio.Queue(maxsize=max(1, backend.capacity // 2))
        self._answered: asyncio.Queue[_OpenDocument | None] = asyncio.Queue(maxsize=4 * max(16, backend.capacity))
        self._waiting: dict[str, tuple[_OpenDocument, int, int, float]] = {}
        self._task_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task-code")
        self._commits = asyncio.Semaphore(_COMMITS)
        self.in_flight = 0
        """Requests that the backend has and has not answered."""
        self.open: dict[ChunkId, _OpenChunk] = {}

    @property
    def scored(self) -> int:
        """Samples of open chunks that have a record already."""
        return sum(len(chunk.records) for chunk in self.open.values())

    @property
    def depths(self) -> dict[str, int]:
        """What waits before each stage: requests to be asked, documents to be scored, chunks to be committed."""
        # A tuple is made of a dict in one step: another thread may ask.
        chunks = tuple(self.open.values())
        return {
            "ask": max(0, len(self._waiting) - self.in_flight),
            "score": self._answered.qsize(),
            "commit": sum(chunk.committing for chunk in chunks),
        }

    async def run(self) -> None:
        """Take, do and commit chunks until `next_chunk` says None.

        Raises:
            BackendFailed: the backend is gone; open chunks are left uncommitted.
            Failed: the store refused.
        """
        try:
            async with asyncio.TaskGroup() as stages:
                self._tasks = stages
                stages.create_task(self._build())
                stages.create_task(self._ask())
                stages.create_task(self._score())
        finally:
            self._task_thread.shutdown(wait=False, cancel_futures=True)

    async def _build(self) -> None:
        while (chunk_id := await self._next_chunk()) is not None:
            stage = self._stages[chunk_id.task]
            start, stop = stage.bounds(chunk_id.index)
            chunk = _OpenChunk(chunk_id, self._clock(), (stop - start) * stage.repeats)
            self.open[chunk_id] = chunk
            rest: list[Request] = []
            for first in range(start, stop, _SLICE):
                rest += await self._build_slice(stage, chunk, first, min(stop, first + _SLICE))
                while len(rest) >= self._batch_size:
                    await self._built.put(tuple(rest[: self._batch_size]))
                    del rest[: self._batch_size]
            if rest:
                await self._built.put(tuple(rest))
            self._commit_when_complete(chunk)
        await self._built.put(None)

    async def _build_slice(self, stage: Stage, chunk: _OpenChunk, start: int, stop: int) -> list[Request]:
        docs = await asyncio.to_thread(stage.read, start, stop)
        built = await asyncio.get_running_loop().run_in_executor(self._task_thread, stage.build, start, docs)
        requests: list[Request] = []
        now = self._clock()
        for document, doc, samples in built:
            if isinstance(samples, TaskError):
                self._record(chunk, stage.failed(document, samples))
                continue
            opened = _OpenDocument(chunk, doc, samples, [], 0, [None] * len(samples))
            for repeat, sample in enumerate(samples):
                opened.responses.append([None] * len(sample.requests))
                opened.missing += len(sample.requests)
                for place, request in enumerate(sample.requests):
                    self._waiting[request.key] = (opened, repeat, place, now)
                    requests.append(request)
        return requests

    async def _batches(self) -> AsyncIterator[Batch]:
        while (batch := await self._built.get()) is not None:
            self.in_flight += len(batch)
            yield batch

    async def _ask(self) -> None:
        async for response in self._backend.stream(self._batches()):
            opened, repeat, place, since = self._waiting.pop(response.key)
            self.in_flight -= 1
            self._meter.answered(response)
            opened.responses[repeat][place] = response
            opened.wait(repeat, response, self._clock() - since)
            opened.missing -= 1
            if not opened.missing:
                await self._answered.put(opened)
        await self._answered.put(None)

    async def _score(self) -> None:
        loop = asyncio.get_running_loop()
        ended = False
        while not ended:
            documents = [await self._answered.get()]
            if self._answered.qsize() < _SCORE_AT_ONCE and documents[0] is not None:
                await asyncio.sleep(_GATHER)
            while len(documents) < _SCORE_AT_ONCE and not self._answered.empty():
                documents.append(self._answered.get_nowait())
            ended = None in documents
            ready = [document for document in documents if document is not None]
            rows = await loop.run_in_executor(self._task_thread, self._score_all, ready)
            for document, records in zip(ready, rows, strict=True):
                self._record(document.chunk, records)
                self._commit_when_complete(document.chunk)

    def _score_all(self, documents: Sequence[_OpenDocument]) -> list[list[SampleRecord]]:
        """The records of documents; those of one task that follow each other are scored in a row."""
        records: list[list[SampleRecord]] = []
        for task, opened in groupby(documents, key=lambda document: document.chunk.id.task):
            answered = [(one.doc, one.samples, one.answers, one.queued) for one in opened]
            records += self._stages[task].score(answered, self._clock)
        return records

    def _record(self, chunk: _OpenChunk, records: Sequence[SampleRecord]) -> None:
        self._meter.recorded(records)
        chunk.records.update((record.id, record) for record in records)

    def _commit_when_complete(self, chunk: _OpenChunk) -> None:
        if len(chunk.records) == chunk.expected and not chunk.committing:
            chunk.committing = True
            self._tasks.create_task(self._commit(chunk))

    async def _commit(self, chunk: _OpenChunk) -> None:
        stage = self._stages[chunk.id.task]
        records = [chunk.records[sample] for sample in stage.sample_ids(chunk.id.index)]
        work = self._sign(self._clock() - chunk.started)
        async with self._commits:
            writing = self._clock()
            steps = commit(self._plan, chunk.id, self._new_attempt(), records, work)
            outcome = await asyncio.to_thread(run_commit, self._store, steps)
        del self.open[chunk.id]
        now = self._clock()
        self._on_commit(Committed(chunk.id, outcome, records, now - chunk.started, now - writing))
