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
from random import Random, SystemRandom

from assay_api import layout
from assay_api.errors import Failed, Stopped
from assay_api.layout import ChunkId
from assay_api.plan import Plan
from assay_api.records import ChunkWork, Progress
from assay_runner.backends.base import Backend
from assay_runner.faults import foremost
from assay_runner.store.base import Store
from assay_runner.work.accelerators import accelerators
from assay_runner.work.assignment import Situation, Turn, choose, share
from assay_runner.work.board import Board, RunFigures
from assay_runner.work.commit import Outcome
from assay_runner.work.meter import Meter
from assay_runner.work.pipeline import Committed, Pipeline
from assay_runner.work.settings import WorkerSettings
from assay_runner.work.stage import Stage
from assay_runner.work.tally import Tally

_LAST_WORDS = 2.0
"""Seconds for one's own last commit to return after every marker has been seen, and for a backend to end its start."""
_CLOSING = 10.0
"""Seconds for a backend to end."""


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
        now: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        """`store` is the run's part of the store; `stages` and `backend` are opened only when needed; `say` gets a line
        for the log whenever something has happened; `now` is the time of day, for the story of the run."""
        self._store, self._settings, self._plan = store, settings, plan
        self._open_stages, self._open_backend = stages, backend
        self._clock, self._now, self._random = clock, now, random or SystemRandom()
        self._say = say
        self._session = secrets.token_hex(8)
        self._board = Board(store, plan, session=self._session, clock=clock, silence=settings.silence)
        mine = settings.index is not None and settings.index < settings.workers
        self._own = frozenset(share(self._board.chunks, settings.index or 0, settings.workers) if mine else ())
        self._looked = self._started_at = clock()
        self._beat = 0
        self._state: str = "starting"
        self._waiting = False
        self._stop, self._over, self._looking = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._pipeline: Pipeline | None = None
        self._backend: Backend | None = None
        self._trouble = ""
        self._claimed: ChunkId | None = None
        self.tally, self.meter = Tally(), Meter()
        self.accelerators = accelerators(plan.model)
        """That this worker holds."""
        self.abandoned = False
        """Whether backend or task code did not end when told to: threads of theirs may still run, and nothing stops them."""

    @property
    def state(self) -> str:
        """What it is doing, as in its reports."""
        return "waiting" if self._waiting and not self.open else self._state

    @property
    def open(self) -> tuple[ChunkId, ...]:
        """Chunks under work."""
        pipeline, claimed = self._pipeline, self._claimed
        held = tuple(pipeline.open) if pipeline else ()
        return held if claimed is None or claimed in held else (*held, claimed)

    @property
    def live(self) -> int:
        """Workers of the run that are live, this one included, by the last look."""
        return self._board.live

    def run_figures(self) -> RunFigures:
        """How far the whole run is, by the last look; callable from any thread."""
        rate = self.tally.rate if self.open else 0.0
        return self._board.figures(self.tally, own_rate=rate, own_accelerator_seconds=self._accelerator_seconds)

    @property
    def in_flight(self) -> int:
        """Requests that the backend has and has not answered; callable from any thread."""
        pipeline = self._pipeline
        return pipeline.in_flight if pipeline else 0

    @property
    def depths(self) -> dict[str, int]:
        """What waits before each stage of the pipeline, see `Pipeline.depths`; callable from any thread."""
        pipeline = self._pipeline
        return pipeline.depths if pipeline else {}

    @property
    def backend_away(self) -> bool:
        """Whether the backend cannot answer just now, by what it says itself; callable from any thread."""
        backend = self._backend
        return bool(backend and backend.trouble)

    @property
    def _accelerator_seconds(self) -> float:
        """From the worker's start to its last commit, so that it grows only when other numbers do."""
        return self.accelerators * max(0.0, self.tally.last_commit - self._started_at)

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
        if self._board.over:
            self._state = "done"
            await self._report()
            return
        steady = [asyncio.create_task(self._keep_reporting()), asyncio.create_task(self._keep_looking())]
        try:
            await self._work()
            self._state = "done"
        except BaseException:
            self._state = "stopped"
            raise
        finally:
            for task in steady:
                task.cancel()
            await asyncio.gather(*steady, return_exceptions=True)
            await self._last_report()

    async def _work(self) -> None:
        first = await self._next_chunk()
        if first is not None:
            stages = await asyncio.to_thread(self._open_stages)
            backend = self._backend = self._open_backend()
            try:
                if await self._started(backend):
                    self._state = "working"
                    self._say("the backend is ready")
                    await self._run_pipeline(backend, stages, first)
            finally:
                self._backend = None
                await self._close(backend)
        if not self._board.over:
            done = f"{len(self._board.committed)} of {len(self._board.chunks)} chunks are committed"
            raise Stopped(f"Worker {self._settings.worker} was asked to stop; {done}.")

    async def _started(self, backend: Backend) -> bool:
        """Start the backend; False when the worker was asked to stop, or the run was over, before it was ready."""
        starting = asyncio.create_task(backend.start())
        await self._until_an_end(starting)
        if starting.done():
            await starting
            return True
        starting.cancel()
        await asyncio.wait({starting}, timeout=_LAST_WORDS)
        return False

    async def _close(self, backend: Backend) -> None:
        # A thread that loads a model, or hangs in an engine, cannot be stopped; it must not hold up the end.
        closing = asyncio.create_task(backend.close())
        await asyncio.wait({closing}, timeout=_CLOSING if self._state == "working" else _LAST_WORDS)
        if closing.done():
            await closing
        else:
            self.abandoned = True
            closing.cancel()

    async def _until_an_end(self, task: asyncio.Task[None]) -> None:
        """Wait for the task, or until the worker was asked to stop, or until the run is over."""
        ends = {asyncio.create_task(self._stop.wait()), asyncio.create_task(self._over.wait())}
        try:
            await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

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
            sign=self._sign,
            meter=self.meter,
        )
        running = asyncio.create_task(self._pipeline.run())
        try:
            await self._until_an_end(running)
            if not running.done():
                # When the run is over, what is still open here has been committed by others.
                patience = _LAST_WORDS if self._board.over else self._settings.grace
                await asyncio.wait({running}, timeout=patience)
            if not running.done():
                self.abandoned = True
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            else:
                await running
        except BaseExceptionGroup as group:
            raise foremost(group) from group
        finally:
            self._pipeline = None

    def _sign(self, seconds: float) -> ChunkWork:
        worker, held = self._settings.worker, self.accelerators
        return ChunkWork(worker=worker, finished=self._now(), seconds=seconds, accelerators=held)

    async def _next_chunk(self) -> ChunkId | None:
        """The next chunk, waiting for one as long as the run is not over; None when it is, or when asked to stop."""
        while not self._stop.is_set():
            self._claimed = None
            turn = choose(self._situation(), self._random)
            if turn not in self._own or self._near_the_end() or self._clock() - self._looked > self._settings.poll:
                await self._look()
                turn = choose(self._situation(), self._random)
            if turn is Turn.FINISHED:
                return None
            if isinstance(turn, ChunkId):
                self._claimed = turn
                if turn not in self._own or self._near_the_end():
                    await self._report()
                return turn
            self._waiting = True
            await self._pause(self._settings.poll)
            self._waiting = False
        return None

    def _near_the_end(self) -> bool:
        """Whether others who are done with their own may be about to take what is left here: they begin at the far end."""
        left = len(self._own.difference(self._board.committed, self.open))
        return left <= self._settings.workers < len(self._own)

    async def _keep_looking(self) -> None:
        """Look every few seconds, also while this worker's own chunks, or the start of its backend, take long: so it sees
        the end of the run, and its metrics tell of the whole run. A look runs in a thread of its own beside the work."""
        pause = self._settings.silence / 2
        while not self._board.over:
            await asyncio.sleep(max(self._settings.poll, pause - (self._clock() - self._looked)))
            if self._clock() - self._looked >= pause:
                # A store that is away for a moment is no reason to end: the pipeline will say so if it stays away.
                with contextlib.suppress(Failed):
                    await self._look()

    async def _look(self) -> None:
        async with self._looking:
            await asyncio.to_thread(self._board.refresh)
            self._looked = self._clock()
        if self._board.over:
            self._over.set()

    def _situation(self) -> Situation:
        return Situation(
            chunks=self._board.chunks,
            committed=self._board.committed,
            open=self.open,
            index=self._settings.index,
            workers=self._settings.workers,
            peers=self._board.peers,
            durations=self.tally.durations,
            rate=self.tally.chunks / self.tally.busy if self.tally.busy else 0.0,
        )

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _committed(self, committed: Committed) -> None:
        self._board.committed.add(committed.chunk)
        self.tally.add(committed, self._clock())
        samples, seconds = len(committed.records), committed.seconds
        about = f"chunk {committed.chunk}: {samples} samples in {seconds:.1f} s, {committed.errors} errors"
        if committed.outcome is Outcome.DISCARDED:
            self._say(f"{about}; somebody else had committed it, this work counts for nothing")
        else:
            self._say(f"{about}; committed, {len(self._board.committed)} of {len(self._board.chunks)} chunks are")
        if self._board.over:
            self._over.set()

    async def _keep_reporting(self) -> None:
        while True:
            await self._report()
            await asyncio.sleep(self._settings.beat)

    async def _last_report(self) -> None:
        """Say how it ended; a store that is away must not hold up the end."""
        reporting = asyncio.create_task(self._report())
        await asyncio.wait({reporting}, timeout=_LAST_WORDS)
        self.abandoned = self.abandoned or not reporting.done()

    async def _report(self) -> None:
        self._beat += 1
        index = self._settings.index
        open_chunks = self.open if self._state not in ("stopped", "done") else ()
        trouble = self._backend.trouble if self._backend else ""
        if bool(trouble) != bool(self._trouble):
            self._say(trouble or "the backend answers again")
        self._trouble = trouble
        report = Progress.model_validate(
            {
                "worker": self._settings.worker,
                "session": self._session,
                "index": self._settings.workers if index is None else index,
                "beat": self._beat,
                "state": self.state,
                "open": [str(chunk) for chunk in open_chunks],
                "pending": self._pipeline.scored if self._pipeline else 0,
                "message": trouble,
                "accelerator_seconds": self._accelerator_seconds,
                **self.tally.reported(),
            }
        )
        # Progress is advisory: a report that cannot be written must not end work that can be committed.
        with contextlib.suppress(Failed):
            await asyncio.to_thread(self._store.put, layout.progress(self._settings.worker), report.encode())
