"""Where things lie in the store, so that every part builds the same keys.

A store is opened at the root that `spec.storage.uri` names. A run lies at `<namespace>/<name>/<uid>/` below it; documents
and task files lie at `data/<fingerprint>/`, shared by all runs of that store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay_api.errors import SpecError

PLAN = "plan.json"
STORAGE = "storage.json"
PLACEMENT = "placement.json"
RESULTS = "results.json"
GATES = "gates.json"
RUN = "run.json"
SAMPLES = "samples.jsonl.zst"
REPORT = "report.html"

_MARKER = re.compile(r"^chunks/(?P<task>[^/]+)/(?P<chunk>[0-9]{6,})\.commit$")


@dataclass(frozen=True, slots=True, order=True)
class ChunkId:
    """One chunk of one task."""

    task: str
    index: int

    def __str__(self) -> str:
        return f"{self.task}/{self.index:06d}"

    @property
    def marker(self) -> str:
        """Key of the commit marker, below the run."""
        return f"chunks/{self}.commit"

    def data(self, attempt: str) -> str:
        """Key of the records that `attempt` wrote, below the run."""
        return f"chunks/{self}/{attempt}.jsonl.zst"

    @classmethod
    def of_marker(cls, key: str) -> ChunkId | None:
        """The chunk whose marker lies at `key`, or None when `key` is no marker."""
        found = _MARKER.match(key)
        return cls(found["task"], int(found["chunk"])) if found else None


def progress(worker: str) -> str:
    """Key of a worker's progress, below the run."""
    return f"progress/{worker}.json"


def sample_id(task: str, document: int, repeat: int) -> str:
    """The stable id of a sample."""
    return f"{task}/{document}/{repeat}"


def sample_ids(task: str, documents: range, repeats: int) -> list[str]:
    """`sample_id` of every sample of some documents, in planned order."""
    ends = [f"/{repeat}" for repeat in range(repeats)]
    return [f"{task}/{document}{end}" for document in documents for end in ends]


def split_run(uri: str) -> tuple[str, str]:
    """A run's URI as (storage root, `<namespace>/<name>/<uid>/`).

    Raises:
        SpecError: the URI has too few parts to be a run's.
    """
    parts = uri.rstrip("/").rsplit("/", 3)
    if len(parts) < 4 or not all(parts) or parts[0].endswith((":/", ":")):
        raise SpecError(uri, "", "this is no run", "a run's address ends in <namespace>/<name>/<id>")
    root, *run = parts
    return root, "/".join(run) + "/"
