"""What is said of a worker when it starts: its name, its place, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass


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
