"""A finished run as it is read for a comparison: plan, results and records, each checked against the others.

What is compared is what the markers committed, not a file made from it: every chunk's digest and sample ids are checked
while its records stream by, so nothing else is ever counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from assay_api import layout
from assay_api.base import sha256
from assay_api.comparison import ComparedRun
from assay_api.errors import Corrupt, Incomplete
from assay_api.layout import ChunkId
from assay_api.plan import Plan
from assay_api.records import Marker, SampleRecord
from assay_api.results import MetricResult, Results
from assay_runner.reduce.verify import read_markers, verified_chunks
from assay_runner.store.base import NotFoundInStore, Store
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.work.setup import stored_plan


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run with results."""

    root: Store
    """The whole store, with the task files."""
    store: Store
    plan: Plan
    results: Results
    markers: Mapping[ChunkId, Marker]

    def records(self, task: str) -> Iterator[SampleRecord]:
        """The records of a task in planned order; a few chunks are held at a time.

        Raises:
            Corrupt: data are gone, changed, or not exactly the planned samples.
        """
        markers = {chunk: marker for chunk, marker in self.markers.items() if chunk.task == task}
        for chunk in verified_chunks(self.store, self.plan, markers.items()):
            yield from chunk.records

    def metric(self, task: str, metric: str, filtered: str) -> MetricResult | None:
        """What results.json says of a metric."""
        found = (result for result in self.results.tasks if result.task == task)
        metrics = (one for result in found for one in result.metrics)
        return next((one for one in metrics if (one.metric, one.filter) == (metric, filtered)), None)

    def check(self, task: str, errors: int) -> None:
        """Refuse results that count other failed samples than the records hold.

        Raises:
            Corrupt: they do.
        """
        said = sum(sum(result.errors.values()) for result in self.results.tasks if result.task == task)
        if said != errors:
            self.contradict(f"{said} failed samples of task {task}", f"{errors}")

    def contradict(self, said: str, held: str) -> None:
        """Refuse results that the records do not give.

        Raises:
            Corrupt: always.
        """
        where = self.store.location(layout.RESULTS)
        raise Corrupt(f"{where} says {said}, but the records give {held}; one of them was changed.")

    def summary(self) -> ComparedRun:
        """The run as a comparison names it."""
        return ComparedRun(
            job=self.plan.job,
            plan=self.plan.digest,
            results=sha256(self.results.encode()),
            backend=self.plan.model.backend,
            model=self.plan.model.name,
            assay_version=self.plan.assay_version,
        )


def open_finished(address: str) -> FinishedRun:
    """Open the run at `address`, its URI or folder.

    Raises:
        SpecError: the address is no run's.
        Incomplete: the run has no results, or chunks of it are not committed.
        Corrupt: plan, results and markers contradict one another.
    """
    uri, prefix = layout.split_run(address)
    root = open_store(uri, None)
    store = Prefixed(root, prefix)
    plan = stored_plan(store)
    where = store.location(layout.RESULTS)
    try:
        results = Results.decode(store.get(layout.RESULTS), where)
    except NotFoundInStore as error:
        raise Incomplete(
            f"{address} has no results yet; finish it with `assay run`, or `assay work` and `assay reduce`."
        ) from error
    if results.plan != plan.digest:
        raise Corrupt(f"{where} is of plan {results.plan[:12]}, but plan.json is {plan.digest[:12]}.")
    return FinishedRun(root, store, plan, results, read_markers(store, plan))
