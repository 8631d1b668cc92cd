"""Writes `report.html`. It is derived from plan, records and data, is written anew by every reduction, and decides
nothing: when it cannot be made the numbers are kept, and why is told.
"""

from __future__ import annotations

from assay_api import layout
from assay_runner.report.collector import Collector
from assay_runner.report.facts import Facts
from assay_runner.report.media import Find, embed
from assay_runner.report.page import Content, render, render_failure
from assay_runner.store.base import Store


def write_report(store: Store, facts: Facts, collector: Collector, find: Find) -> str | None:
    """Write the run's page; why it could not be made, for run.json, or None when it was.

    A page that says so takes the place of one that could not be made, so that none of an earlier reduction stays behind.
    """
    failure: str | None = None
    try:
        if collector.failure is not None:
            raise collector.failure
        data = render(facts, _content(facts, collector, find))
    except Exception as error:  # noqa: BLE001 - the numbers are not lost for a page; the caller tells
        failure = f"{type(error).__name__}: {error}"[:500]
        data = render_failure(facts, failure)
    try:
        store.put(layout.REPORT, data)
    except Exception as error:  # noqa: BLE001 - as above
        failure = failure or f"{type(error).__name__}: {error}"[:500]
    return failure


def _content(facts: Facts, collector: Collector, find: Find) -> Content:
    samples = list(collector.shown())
    names = [task.name for task in facts.plan.tasks]
    return Content(samples, embed(((names[one.task], one.document, one.media) for one in samples), find))
