"""What is new about a job since one last looked, each thing said once."""

from __future__ import annotations

from datetime import datetime

from assay_runner.cluster.job import Job, outcome
from assay_runner.cluster.show import note, words

_TOLD_AT_THE_END = ("Complete", "Failed")


class Story:
    """Remembers what a person was told of one job."""

    def __init__(self) -> None:
        self._told: set[tuple[str, ...]] = set()

    def news(self, job: Job, now: datetime) -> list[str]:
        """Sentences not told before: conditions that changed, and a new note. How the job ended is told by its outcome."""
        fresh = []
        for one in job.status.conditions:
            text, aspect = words(one), one.type if one.status == "True" else f"not {one.type}"
            # The calm state of most conditions is False without a sentence; a step that is to come says nothing new.
            if one.type in _TOLD_AT_THE_END or (one.status == "False" and not one.message):
                continue
            if self._first((one.type, one.status, one.reason, text)):
                self._told.add((text,))
                fresh.append(f"{aspect}: {text}" if text else aspect)
        said = note(job, now) if outcome(job) is None else ""
        if said and self._first((said,)):
            fresh.append(said)
        return fresh

    def _first(self, key: tuple[str, ...]) -> bool:
        if key in self._told:
            return False
        self._told.add(key)
        return True
