"""What a worker knows of the run: which chunks have markers, and what the other workers say they are doing.

Markers are facts; progress reports are hints. A peer counts as live while its report changes, by this worker's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from assay_api.errors import Corrupt
from assay_api.layout import ChunkId
from assay_api.plan import Plan
from assay_api.records import Progress
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.work.assignment import Peer


def plan_chunks(plan: Plan) -> tuple[ChunkId, ...]:
    """All chunks in plan order."""
    return tuple(ChunkId(task.name, index) for task in plan.tasks for index in range(task.chunks))


def read_progress(store: Store) -> Iterator[Progress]:
    """Every worker's last report; reports that cannot be read are passed over, since nothing depends on them."""
    for key in store.list("progress/"):
        try:
            yield Progress.decode(store.get(key), key)
        except (Corrupt, NotFoundInStore):
            continue


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
        self._planned = frozenset(self.chunks)
        self._tasks = [task.name for task in plan.tasks]
        self.committed: set[ChunkId] = set()
        self.peers: tuple[Peer, ...] = ()
        self._sightings: dict[str, _Sighting] = {}

    def refresh(self) -> None:
        """Look at the markers and the reports again."""
        self.refresh_markers()
        self.peers = tuple(self._peers())

    def refresh_markers(self) -> None:
        """Look at the markers of tasks that are not finished."""
        unfinished = {chunk.task for chunk in self._planned - self.committed}
        for task in self._tasks:
            if task in unfinished:
                found = (ChunkId.of_marker(key) for key in self._store.list(f"chunks/{task}/", recursive=False))
                self.committed.update(chunk for chunk in found if chunk in self._planned)

    def _peers(self) -> Iterator[Peer]:
        now = self._clock()
        for report in read_progress(self._store):
            if report.session == self._session:
                continue
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
                held={chunk: now - since for chunk, since in held.items()},
            )
