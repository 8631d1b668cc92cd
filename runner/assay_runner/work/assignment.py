"""Decides which chunk a worker takes next: first its own share, then the far end of whoever has most left to do. A slow
worker leaves the last chunks to others who would be done with all of them before it was done with one.

Pure policy over what the worker knows. Nothing here is needed for correct numbers (the commit protocol sees to that); it
only keeps workers busy and out of each other's way. Others' clocks are never compared: `silent` and `held` are measured
on the observer's own clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from statistics import median

from assay_api.layout import ChunkId

PATIENCE = 600.0
"""Seconds a live worker may hold a chunk while nobody has finished one yet."""
_SHORTEST = 3.0
"""Seconds that a chunk is left to its live holder in any case: reports are no finer."""
_MUCH = 1.25
"""What has to lie between two estimates of time before one is acted on."""


class Turn(Enum):
    """What to do when there is no chunk to take."""

    WAIT = "wait"
    """Every uncommitted chunk is under work; look again later."""
    FINISHED = "finished"
    """Every chunk is committed."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker, as seen from here."""

    index: int
    live: bool
    """It reported lately and did not say that it stopped."""
    rate: float
    """Chunks per second; 0 when it has not committed one yet."""
    held: Mapping[ChunkId, float]
    """Chunks it says are under work → seconds since that was first seen."""
    samples_per_second: float = 0.0
    """0 when it has nothing under work."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a choice is made from."""

    chunks: Sequence[ChunkId]
    """All chunks, in plan order."""
    committed: Collection[ChunkId]
    open: Collection[ChunkId]
    """Under work by this worker."""
    index: int | None
    """This worker's place among `workers`; None for one that joined on top."""
    workers: int
    peers: Sequence[Peer]
    durations: Sequence[float]
    """Seconds that chunks took this worker."""
    rate: float = 0.0
    """Chunks per second of this worker; 0 when it has not committed one yet."""


def share(chunks: Sequence[ChunkId], index: int, workers: int) -> Sequence[ChunkId]:
    """The consecutive part of the chunks that worker `index` of `workers` starts with."""
    return chunks[index * len(chunks) // workers : (index + 1) * len(chunks) // workers]


def choose(situation: Situation, random: Random) -> ChunkId | Turn:
    """The next chunk for this worker, or what to do without one."""
    here = situation
    left = [chunk for chunk in here.chunks if chunk not in here.committed]
    if not left:
        return Turn.FINISHED
    taken = {chunk for peer in here.peers if peer.live for chunk in peer.held} | set(here.open)
    free = [chunk for chunk in left if chunk not in taken]
    if free and _others_are_sooner(here, len(free)):
        return Turn.WAIT
    own = (
        set(share(here.chunks, here.index, here.workers))
        if here.index is not None and here.index < here.workers
        else set()
    )
    for chunk in free:
        if chunk in own:
            return chunk
    if free:
        return _from_the_slowest(here, set(free), random)
    return _overdue(here, left) or Turn.WAIT


def _others_are_sooner(here: Situation, free: int) -> bool:
    """Whether the other workers would have done all free chunks before this one has done its first."""
    rates = [peer.rate for peer in here.peers if peer.live]
    if not here.rate or not any(rates):
        return False
    # The second term keeps the fastest of all from waiting for anybody.
    return 1 / here.rate > _MUCH * max(free / sum(rates), 1 / max(rates))


def _from_the_slowest(here: Situation, free: set[ChunkId], random: Random) -> ChunkId:
    owners = {peer.index: peer for peer in here.peers if peer.live}
    best: list[ChunkId] = []
    best_time = -1.0
    for index in range(here.workers):
        pending = [chunk for chunk in share(here.chunks, index, here.workers) if chunk in free]
        owner = owners.get(index)
        time = len(pending) / owner.rate if owner and owner.rate > 0 else float("inf") if pending else -1.0
        if pending and (time, len(pending)) > (best_time, len(best)):
            best, best_time = pending, time
    # Helpers that look at the same moment would all take the very last chunk; a few places to choose from keep them apart.
    return random.choice(best[-max(1, min(len(best) // 2, len(owners))) :])


def _overdue(here: Situation, left: Sequence[ChunkId]) -> ChunkId | None:
    pace = [1 / peer.rate for peer in here.peers if peer.rate > 0] + list(here.durations)
    limit = max(_SHORTEST, 2 * median(pace)) if pace else PATIENCE
    for chunk in left:
        holders = [peer for peer in here.peers if peer.live and chunk in peer.held]
        if holders and chunk not in here.open and all(_late(here, peer, chunk, limit) for peer in holders):
            return chunk
    return None


def _late(here: Situation, holder: Peer, chunk: ChunkId, limit: float) -> bool:
    """Whether a chunk has been held for too long, or will be by a holder that is slow throughout."""
    held = holder.held[chunk]
    if held > limit:
        return True
    whole = 1 / holder.rate if holder.rate else 0.0
    return bool(here.rate and whole > limit and whole - held > _MUCH / here.rate)
