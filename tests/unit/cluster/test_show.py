"""What a person is shown of a job is complete, short and right."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from assay_runner.cluster.job import Job
from assay_runner.cluster.show import after_results, note, page, progress, results_table, workers
from support.evaljobs import RUN, complete, condition, evaljob, failed, running

NOW = datetime(2026, 3, 1, 12, 2, 0, tzinfo=UTC)


def shown(status, **metadata):
    return page(Job.of(evaljob(status, **metadata)), NOW)


def test_the_page_of_a_running_job():
    assert shown(running()) == [
        "evaljob/easy-vqa in namespace research: Running for 2 min 0 s",
        "  model     tiny-vlm/model (transformers)",
        "  tasks     easy_vqa",
        "  plan      9,673 samples in 61 chunks, digest 7d749c7b8a2a",
        "  storage   conditional",
        "  progress  ██████████░░░░░░░░░░░░░░  4,200/9,673 samples (43 %)  26/61 chunks  130/s  2 errors  42 s left",
        "  workers   2 running, 1 waiting, 1 preempted",
        "  note      1 of 3 workers waits: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
        "",
        "  Accepted         yes  2 min 0 s ago    Runtime default takes it.",
        "  Planned          yes  1 min 40 s ago   9,673 samples in 61 chunks.",
        "  Running          yes  1 min 30 s ago   2 of 3 workers run.",
        "  ChunksCommitted  no   2 min 0 s ago    26 of 61 chunks are committed.",
    ]


def test_a_finished_job_says_how_long_it_took_and_shows_no_rate_and_nothing_that_no_longer_matters():
    later = page(Job.of(evaljob(complete())), NOW + timedelta(hours=1))
    assert later[0] == "evaljob/easy-vqa in namespace research: Complete after 3 min 0 s, 59 min 0 s ago"
    text = "\n".join(later)
    assert "9,673/9,673 samples (100 %)  61/61 chunks" in text and "/s" not in text and "note" not in text
    assert "9,673 samples scored." in text and "The workers have ended." not in text


@pytest.mark.parametrize(("truth", "word"), [("True", "yes"), ("False", "no"), ("Unknown", "unknown")])
def test_a_finished_job_says_whether_its_gates_passed(truth, word):
    status = complete()
    status["conditions"].append(condition("GatesPassed", truth, "R", "1 of 2 gates failed: drop: It is worse."))
    lines = page(Job.of(evaljob(status)), NOW + timedelta(hours=1))
    (line,) = (line.split() for line in lines if "GatesPassed" in line)
    assert line[1] == word and "It is worse." in " ".join(line)


def test_a_failed_job_shows_its_reason():
    text = "\n".join(page(Job.of(evaljob(failed("OutOfMemory", "A worker needed more than 2Gi."))), NOW))
    assert "Failed after 45 s, 1 min 15 s ago" in text and "A worker needed more than 2Gi." in text


def test_a_job_that_no_operator_has_seen_says_so_after_a_while():
    job = Job.of(evaljob())
    assert note(job, NOW - timedelta(minutes=1, seconds=50)) == ""
    assert "No operator has looked at it" in note(job, NOW)
    assert shown(None)[0].endswith("Pending for 2 min 0 s")


def test_a_job_that_is_being_deleted_says_so():
    assert "  note      It is being deleted." in shown(running(), deletionTimestamp="2026-03-01T12:01:00Z")


def test_many_tasks_are_counted_not_listed():
    data = evaljob(running())
    data["spec"]["tasks"] = [{"name": f"t{number}"} for number in range(57)]
    assert "  tasks     t0, t1, t2, t3, t4 and 52 more" in page(Job.of(data), NOW)


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        ({}, "0/9,673 samples (0 %)  0/61 chunks"),
        ({"samplesDone": 1, "samplesTotal": 3, "samplesPerSecond": 0.25}, "1/3 samples (33 %)  0/61 chunks  0.2/s"),
        (
            {"samplesDone": 3, "samplesTotal": 3, "errors": 1, "eta": "2026-03-01T13:00:00Z"},
            "3/3 samples (100 %)  0/61 chunks  1 error",
        ),
        ({"samplesDone": 1, "samplesTotal": 3, "eta": "2026-03-01T11:00:00Z"}, "1/3 samples (33 %)  0/61 chunks"),
    ],
)
def test_progress_is_one_line_of_what_is_known(seen, line):
    assert progress(Job.of(evaljob(running(progress=seen))), NOW) == line


def test_states_without_workers_are_left_out():
    status = Job.of(evaljob(running(workers={}))).status
    assert workers(status.workers) == "none"


def test_headline_results_are_shown_as_assay_results_shows_them():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(results_table(Job.of(evaljob(complete()))))
    rows = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "easy_vqa exact_match 0.9994 0.0005 [0.9985, 1.0000] 9,673 0" in rows
    assert "easy_vqa [odd] (strict) red 0.5, blue 0.25 – – 12 3" in rows


def test_below_the_results_stands_what_they_cover_and_where_they_lie():
    assert after_results(Job.of(evaljob(complete(resultsOmitted=12)))) == [
        "9,673 samples, 0 errors; plan 7d749c7b8a2a",
        "12 more rows are in results.json only",
        f"results: {RUN}/results.json",
        f"report: {RUN}/report.html",
    ]
