"""One worker from start to end: choose chunks, run the pipeline, report progress, stop when asked.

A worker returns only when every chunk of the plan has a marker, whoever wrote it. It starts the backend only when it has
found something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom

from assay_api import layout
from assay_api.errors import AssayError, Failed, Stopped
from assay_api.layout import ChunkId
from assay_api.plan import Plan
from assay_api.records import Progress
from assay_runner.backends.base import Backend
from assay_runner.store.base import Store
from assay_runner.work.assignment import Situation, Turn, choose, share
from assay_runner.work.board import Board
from assay_runner.work.commit import Outcome
from assay_runner.work.pipeline import Committed, Pipeline
from assay_runner.work.stage import Stage

_LAST_WORDS = 2.0
"""Seconds for one's own last commit to return after every marker has been seen."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Who this worker is and how patient. Times in seconds."""

    worker: str
    index: int | None = None
    """Place among the planned workers; None for one that joins on top."""
    workers: int = 1
    beat: float = 1.0
    """Between two progress reports."""
    silence: float = 10.0
    """After which a worker whose report does not change no longer counts as live."""
    poll: float = 0.5
    """Between two looks at the markers when there is nothing to take."""
    grace: float = 25.0
    """For finishing open chunks after being asked to stop."""


@dataclass(slots=True)
class _Tally:
    samples: int = 0
    errors: int = 0
    chunks: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    durations: list[float] = field(default_factory=list)
    busy: float = 0.0
    last_commit: float = 0.0


class Worker:
    """Works on one run until it is done, stopped or failed."""

    def __init__(
        self,
        store: Store,
        settings: WorkerSettings,
        *,
        plan: Plan,
        stages: Callable[[], dict[str, Stage]],
        backend: Callable[[], Backend],
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """`store` is the run's part of the store; `stages` and `backend` are opened only when needed; `say` gets a line
        for the log whenever something has happened."""
        self._store, self._settings, self._plan = store, settings, plan
        self._open_stages, self._open_backend = stages, backend
        self._clock, self._random = clock, random or SystemRandom()
        self._say = say
        self._session = secrets.token_hex(8)
        self._board = Board(store, plan, session=self._session, clock=clock, silence=settings.silence)
        mine = settings.index is not None and settings.index < settings.workers
        self._own = frozenset(share(self._board.chunks, settings.index or 0, settings.workers) if mine else ())
        self._looked = clock()
        self._tally = _Tally()
        self._beat = 0
        self._state: str = "starting"
        self._stop, self._looking = asyncio.Event(), asyncio.Lock()
        self._pipeline: Pipeline | None = None
        self._claimed: ChunkId | None = None

    def stop(self) -> None:
        """Ask the worker to finish its open chunks within the grace period and end; callable from a signal handler."""
        self._stop.set()

    async def run(self) -> None:
        """Work until every chunk is committed.

        Raises:
            Stopped: it was asked to stop; committed chunks stay, the run can be resumed.
            Failed, SpecError: the backend, the store or the plan's conditions failed.
        """
        await self._look()
        if len(self._board.committed) == len(self._board.chunks):
            self._state = "done"
            await self._report()
            return
        beating = asyncio.create_task(self._keep_reporting())
        try:
            await self._work()
            self._state = "done"
        except BaseException:
            self._state = "stopped"
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self._report()

    async def _work(self) -> None:
        first = await self._next_chunk()
        if first is not None:
            stages = await asyncio.to_thread(self._open_stages)
            backend = self._open_backend()
            try:
                await backend.start()
                self._state = "working"
                self._say("the backend is ready")
                await self._run_pipeline(backend, stages, first)
            finally:
                await backend.close()
        if len(self._board.committed) < len(self._board.chunks):
            done = f"{len(self._board.committed)} of {len(self._board.chunks)} chunks are committed"
            raise Stopped(f"Worker {self._settings.worker} was asked to stop; {done}.")

    async def _run_pipeline(self, backend: Backend, stages: dict[str, Stage], first: ChunkId) -> None:
        upcoming: list[ChunkId] = [first]

        async def next_chunk() -> ChunkId | None:
            return upcoming.pop() if upcoming and not self._stop.is_set() else await self._next_chunk()

        self._pipeline = Pipeline(
            plan=self._plan.digest,
            store=self._store,
            stages=stages,
            backend=backend,
            batch_size=self._plan.batch_size,
            next_chunk=next_chunk,
            on_commit=self._committed,
            new_attempt=lambda: secrets.token_hex(16),
            clock=self._clock,
        )
        running = asyncio.create_task(self._pipeline.run())
        ends = {asyncio.create_task(self._stop.wait()), asyncio.create_task(self._see_the_end())}
        try:
            await asyncio.wait({running, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                # When the run is over, what is still open here has been committed by others.
                over = len(self._board.committed) == len(self._board.chunks)
                patience = _LAST_WORDS if over else self._settings.grace
                await asyncio.wait({running}, timeout=patience)
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            else:
                await running
        except BaseExceptionGroup as group:
            raise _foremost(group) from group
        finally:
            for end in ends:
                end.cancel()
            self._pipeline = None

    async def _next_chunk(self) -> ChunkId | None:
        """The next chunk, waiting for one as long as the run is not over; None when it is, or when asked to stop."""
        while not self._stop.is_set():
            self._claimed = None
            turn = choose(self._situation(), self._random)
            if turn not in self._own or self._clock() - self._looked > self._settings.poll:
                await self._look()
                turn = choose(self._situation(), self._random)
            if turn is Turn.FINISHED:
                return None
            if isinstance(turn, ChunkId):
                self._claimed = turn
                if turn not in self._own:
                    await self._report()
                return turn
            await self._pause(self._settings.poll)
        return None

    async def _see_the_end(self) -> None:
        """Return when every chunk is committed, also while this worker's own chunks make no progress."""
        pause = self._settings.silence / 2
        while len(self._board.committed) < len(self._board.chunks):
            await asyncio.sleep(max(self._settings.poll, pause - (self._clock() - self._looked)))
            if self._clock() - self._looked >= pause:
                # A store that is away for a moment is no reason to end: the pipeline will say so if it stays away.
                with contextlib.suppress(Failed):
                    await self._look()

    async def _look(self) -> None:
        async with self._looking:
            await asyncio.to_thread(self._board.refresh)
            self._looked = self._clock()

    def _situation(self) -> Situation:
        return Situation(
            chunks=self._board.chunks,
            committed=self._board.committed,
            open=self._open(),
            index=self._settings.index,
            workers=self._settings.workers,
            peers=self._board.peers,
            durations=self._tally.durations,
        )

    def _open(self) -> tuple[ChunkId, ...]:
        held = tuple(self._pipeline.open) if self._pipeline else ()
        return held if self._claimed is None or self._claimed in held else (*held, self._claimed)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _committed(self, committed: Committed) -> None:
        self._board.committed.add(committed.chunk)
        tally = self._tally
        tally.durations.append(committed.seconds)
        now = self._clock()
        tally.busy += now - max(tally.last_commit, now - committed.seconds)
        tally.last_commit = now
        failed = sum(record.error is not None for record in committed.records)
        about = (
            f"chunk {committed.chunk}: {len(committed.records)} samples in {committed.seconds:.1f} s, {failed} errors"
        )
        if committed.outcome is Outcome.DISCARDED:
            self._say(f"{about}; somebody else had committed it, this work counts for nothing")
            return
        self._say(f"{about}; committed, {len(self._board.committed)} of {len(self._board.chunks)} chunks are")
        tally.chunks += 1
        tally.samples += len(committed.records)
        tally.errors += failed
        tally.tokens_in += sum(record.usage.tokens_in or 0 for record in committed.records)
        tally.tokens_out += sum(record.usage.tokens_out or 0 for record in committed.records)

    async def _keep_reporting(self) -> None:
        while True:
            await self._report()
            await asyncio.sleep(self._settings.beat)

    async def _report(self) -> None:
        self._beat += 1
        tally = self._tally
        index = self._settings.index
        report = Progress.model_validate(
            {
                "worker": self._settings.worker,
                "session": self._session,
                "index": self._settings.workers if index is None else index,
                "beat": self._beat,
                "state": self._state,
                "open": [str(chunk) for chunk in self._open()] if self._state not in ("stopped", "done") else [],
                "samples": tally.samples,
                "pending": self._pipeline.scored if self._pipeline else 0,
                "errors": tally.errors,
                "chunks": tally.chunks,
                "tokens_in": tally.tokens_in,
                "tokens_out": tally.tokens_out,
                "busy_seconds": tally.busy,
                "rate": tally.samples / tally.busy if tally.busy else 0.0,
            }
        )
        # Progress is advisory: a report that cannot be written must not end work that can be committed.
        with contextlib.suppress(Failed):
            await asyncio.to_thread(self._store.put, layout.progress(self._settings.worker), report.encode())


def _foremost(group: BaseExceptionGroup) -> BaseException:
    """The error to tell: what Assay foresaw comes before what followed from it."""
    leaves: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                collect(inner)
        else:
            leaves.append(error)

    collect(group)
    foreseen = [error for error in leaves if isinstance(error, AssayError)]
    return (foreseen or leaves)[0]
