"""What a worker knows of the run: which chunks have markers, and what the other workers say they are doing.

Markers are facts; progress reports are hints. A peer counts as live while its report changes, by this worker's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay_api.errors import Corrupt
from assay_api.layout import ChunkId
from assay_api.plan import Plan
from assay_api.records import Progress
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.work.assignment import Peer
from assay_runner.work.error_classes import count_class

if TYPE_CHECKING:  # the reducer reads boards and needs none of what a worker imports
    from assay_runner.work.tally import Tally


def plan_chunks(plan: Plan) -> tuple[ChunkId, ...]:
    """All chunks in plan order."""
    return tuple(ChunkId(task.name, index) for task in plan.tasks for index in range(task.chunks))


def chunk_samples(plan: Plan) -> dict[ChunkId, int]:
    """Planned samples of every chunk."""
    return {
        ChunkId(task.name, index): (task.boundaries[index + 1] - task.boundaries[index]) * task.repeats
        for task in plan.tasks
        for index in range(task.chunks)
    }


def read_progress(store: Store) -> Iterator[Progress]:
    """Every worker's last report; reports that cannot be read are passed over, since nothing depends on them."""
    for key in store.list("progress/"):
        try:
            yield Progress.decode(store.get(key), key)
        except (Corrupt, NotFoundInStore):
            continue


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How far the whole run is, as one worker knows it; advisory."""

    samples: int
    samples_committed: int
    chunks: int
    chunks_committed: int
    errors: int
    tokens_in: int
    tokens_out: int
    retries: int
    accelerator_seconds: float
    error_classes: Mapping[str, int]
    samples_per_second: float


@dataclass(slots=True)
class _Sighting:
    beat: tuple[str, int]
    seen: float
    held: dict[ChunkId, float] = field(default_factory=dict)


class Board:
    """The run as one worker sees it. Not thread-safe; `refresh` blocks on the store."""

    def __init__(self, store: Store, plan: Plan, *, session: str, clock: Callable[[], float], silence: float) -> None:
        """`silence` is after how many seconds without a change a peer no longer counts as live."""
        self._store, self._session = store, session
        self._clock, self._silence = clock, silence
        self.chunks = plan_chunks(plan)
        self._sizes = chunk_samples(plan)
        self._planned = frozenset(self.chunks)
        self._tasks = [task.name for task in plan.tasks]
        self.committed: set[ChunkId] = set()
        self.peers: tuple[Peer, ...] = ()
        self.live = 1
        """Workers that are live, this one included."""
        self.reports: tuple[Progress, ...] = ()
        """The last reports of the other workers, also of those that ended."""
        self._sightings: dict[str, _Sighting] = {}

    @property
    def over(self) -> bool:
        """Whether every chunk is committed."""
        return len(self.committed) == len(self.chunks)

    def figures(self, own: Tally, *, own_rate: float, own_accelerator_seconds: float) -> RunFigures:
        """The whole run; `own` is what this worker adds to the others' reports. Callable from any thread."""
        # A tuple is made of a set in one step, so another thread cannot change the set meanwhile.
        committed, peers, reports = tuple(self.committed), self.peers, self.reports
        return RunFigures(
            samples=sum(self._sizes.values()),
            samples_committed=sum(self._sizes[chunk] for chunk in committed),
            chunks=len(self.chunks),
            chunks_committed=len(committed),
            errors=own.errors + sum(report.errors for report in reports),
            tokens_in=own.tokens_in + sum(report.tokens_in for report in reports),
            tokens_out=own.tokens_out + sum(report.tokens_out for report in reports),
            retries=own.retries + sum(report.retries for report in reports),
            accelerator_seconds=own_accelerator_seconds + sum(report.accelerator_seconds for report in reports),
            error_classes=_summed([own.error_classes.copy(), *(report.error_classes for report in reports)]),
            samples_per_second=own_rate + sum(peer.samples_per_second for peer in peers if peer.live),
        )

    def refresh(self) -> None:
        """Look at the markers and the reports again."""
        self.refresh_markers()
        reports = tuple(report for report in read_progress(self._store) if report.session != self._session)
        self.peers, self.reports = tuple(self._peers(reports)), reports
        self.live = 1 + sum(peer.live for peer in self.peers)

    def refresh_markers(self) -> None:
        """Look at the markers of tasks that are not finished."""
        unfinished = {chunk.task for chunk in self._planned - self.committed}
        for task in self._tasks:
            if task in unfinished:
                found = (ChunkId.of_marker(key) for key in self._store.list(f"chunks/{task}/", recursive=False))
                self.committed.update(chunk for chunk in found if chunk in self._planned)

    def _peers(self, reports: Sequence[Progress]) -> Iterator[Peer]:
        now = self._clock()
        for report in reports:
            beat = (report.session, report.beat)
            sighting = self._sightings.get(report.worker)
            if sighting is None or sighting.beat != beat:
                sighting = self._sightings[report.worker] = _Sighting(beat, now, sighting.held if sighting else {})
            chunks = (ChunkId.of_marker(f"chunks/{name}.commit") for name in report.open)
            held = {chunk: sighting.held.get(chunk, now) for chunk in chunks if chunk}
            sighting.held = held
            yield Peer(
                index=report.index,
                live=report.state not in ("stopped", "done") and now - sighting.seen <= self._silence,
                rate=report.chunks / report.busy_seconds if report.busy_seconds > 0 else 0.0,
                samples_per_second=report.rate if report.open else 0.0,
                held={chunk: now - since for chunk, since in held.items()},
            )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for classes in counts:
        for name, count in classes.items():
            count_class(found, name, count)
    return found
