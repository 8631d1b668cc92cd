"""The metrics that code exports are those that the page lists, and nothing names another."""

import re
from pathlib import Path

import pytest

from assay_operator.evaljob_view import evaljob_view
from assay_operator.metrics import Metrics
from support.exported import EVALJOB, exported

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAME = re.compile(r"\bassay_(?:job|operator|run|schedule|worker)_[a-z_]*[a-z]\b")
OURS = {"namespace", "evaljob"}
"""Labels of every series of an EvalJob."""
SCHEDULES = {"namespace", "evalschedule"}
"""And of an EvalSchedule."""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("run"))


def base(name):
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_the_page_lists_every_metric_with_its_type_and_labels(metrics):
    rows = re.findall(
        r"^\| `(assay_\w+)`(?: ●)? \| (\w+) \|([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.M
    )
    listed = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {name: (kind, labels - OURS - SCHEDULES) for name, (kind, labels) in metrics.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_only_metrics_that_exist(metrics, page):
    assert {base(name) for name in NAME.findall(page.read_text())} <= metrics.keys()


def test_metrics_of_evaljobs_name_the_evaljob(metrics):
    assert all(labels >= OURS for name, (_, labels) in metrics.items() if name.startswith("assay_job_"))


def test_metrics_of_schedules_name_the_schedule(metrics):
    assert all(labels >= SCHEDULES for name, (_, labels) in metrics.items() if name.startswith("assay_schedule_"))


def test_the_marked_metrics_are_those_that_ended_jobs_keep():
    jobs = {("research", "job"): evaljob_view(EVALJOB)}
    text = Metrics(lambda: 2e9).render(depth=0, oldest=0, age=0, leads=True, jobs=jobs, schedules={}).decode()
    kept = set(re.findall(r"^(assay_job_\w+)\{", text, re.M))
    assert kept == set(re.findall(r"^\| `(assay_\w+)` ●", (ROOT / "docs" / "metrics.md").read_text(), re.M))
