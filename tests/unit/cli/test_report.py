"""What a pod says last fits into a termination message, tells the truth, and is understood by whoever reads it."""

import argparse
import json

import pytest

from assay_api.errors import EXIT_STOPPED, SpecError, Stopped
from assay_api.gates import MOST_GATES
from assay_api.reports import LARGEST, Ended, Planned, Reduced, read_report
from assay_api.results import Coverage, GroupResult, MetricResult, Results, RunReport, TaskResult
from assay_api.verdicts import Gates, GateVerdict
from assay_runner import cli
from assay_runner.cli.report import ended, reduced, write_report

DIGEST = "0" * 64


def metric(name="exact_match", value=0.99938, **fields):
    return MetricResult(metric=name, value=value, n=100, method="t", **fields)


def results(*tasks, groups=()):
    return Results(
        plan=DIGEST,
        job="j",
        model={"name": "m"},
        determinism="exact",
        tasks=tasks,
        groups=groups,
        coverage=Coverage(samples=100, scored=98, errors=2, chunks=4),
    )


def task(name, *metrics, **fields):
    return TaskResult(task=name, metrics=metrics, documents=100, samples=100, data="d", **fields)


RUN = RunReport(plan=DIGEST, storage_mode="conditional", samples=100, errors=2, tokens_in=700, tokens_out=30)


def test_errors_are_told_by_class_over_all_tasks_the_most_frequent_apart():
    kinds = {f"Kind{number:02}": number + 1 for number in range(20)}
    told = reduced(results(task("t", errors={"Timeout": 30}), task("u", errors=kinds | {"Timeout": 1})), RUN, DIGEST)
    counts = told.errors_by_class
    assert counts["Timeout"] == 31 and counts["Kind19"] == 20 and "Kind05" not in counts
    assert len(counts) == 16 and counts["other"] == sum(range(1, 7))
    assert sum(counts.values()) == 31 + sum(kinds.values())


def test_headlines_are_text_in_the_order_of_the_results_without_a_binary_tail():
    report = reduced(
        results(
            task("t", metric(value=0.1 + 0.2, stderr=0.04999999999, ci_low=0.0, ci_high=1.0), errors={"Timeout": 2}),
            task("u", metric("f1", 12345.678, filter="strict"), metric("none", None), metric("parts", {"a": 0.5})),
            groups=(GroupResult(group="g", tasks=("t", "u"), metrics=(metric(value=2 / 3),)),),
        ),
        RUN,
        DIGEST,
    )
    assert [(row.task, row.metric, row.value) for row in report.headlines] == [
        ("t", "exact_match", "0.3"),
        ("u", "f1 (strict)", "12345.678"),
        ("u", "none", "nan"),
        ("u", "parts.a", "0.5"),
        ("g", "exact_match", "0.666667"),
    ]
    first = report.headlines[0]
    assert (first.stderr, first.ci_low, first.ci_high, first.n, first.errors) == ("0.05", "0.0", "1.0", 100, 2)
    assert (report.samples, report.errors, report.tokens_in, report.tokens_out, report.omitted) == (100, 2, 700, 30, 0)


@pytest.mark.parametrize("count", [1, 20, 21, 22, 23, 24, 25, 200])
def test_as_many_headlines_as_fit_are_kept_and_the_others_counted(count):
    metrics = [metric(f"métrique {number}", stderr=0.1, ci_low=0.2, ci_high=0.3) for number in range(count)]
    report = reduced(results(task("t", *metrics)), RUN, DIGEST)
    data = report.encode()
    assert len(data) <= LARGEST and len(report.headlines) + report.omitted == count
    assert [row.metric for row in report.headlines] == [row.metric for row in metrics[: len(report.headlines)]]
    assert read_report(data.decode()) == report
    if report.omitted:
        assert len(data) > LARGEST - 250


def judged(count, name=12, message=400):
    names = [f"{number:02}-{'n' * (name - 3)}" for number in range(count)]
    return Gates(
        plan=DIGEST,
        results=DIGEST,
        verdicts=tuple(
            GateVerdict(
                name=one, task="t", metric="m", higher_is_better=True, verdict="cannot tell", message=message * "−"
            )
            for one in names
        ),
    )


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [(1, 12, 100), (1, 12, 5000), (3, 12, 400), (MOST_GATES, 63, 400), (MOST_GATES, 63, 0)],
)
def test_every_verdict_is_told_and_messages_and_headlines_share_the_room(count, name, message):
    gates = judged(count, name, message)
    metrics = [metric(f"m{number}", stderr=0.1, ci_low=0.2, ci_high=0.3) for number in range(100)]
    report = reduced(results(task("t", *metrics)), RUN, DIGEST, gates)
    assert len(report.encode()) <= LARGEST and read_report(report.encode().decode()) == report
    assert [(word.name, word.verdict) for word in report.gates] == [(one.name, one.verdict) for one in gates.verdicts]
    told, whole = report.gates[0].message, gates.verdicts[0].message
    assert told == whole or not told or (told[-1] == "…" and whole.startswith(told[:-1]))
    if count < MOST_GATES:
        assert len(told) > 90 and len(report.headlines) > 5


def test_a_failure_is_told_with_its_class_and_sentence():
    error = SpecError("job.yaml", "spec.tasks", "there is no such task", "name another")
    assert ended(error) == Ended(
        code=64, kind="SpecError", message="job.yaml: spec.tasks: there is no such task; name another."
    )
    assert ended(Stopped("It was asked to stop.")).code == 75


def test_of_a_defect_the_first_line_is_told():
    assert ended(ValueError("odd\nand long")) == Ended(code=1, kind="ValueError", message="odd")
    assert ended(KeyError()) == Ended(code=1, kind="KeyError", message="KeyError")


@pytest.mark.parametrize("text", ["ü" * 3000, "x" * 5000, "é\n\x01" * 2000, "日本\udc80" * 900, "😀" * 1100])
def test_a_long_sentence_is_cut_between_characters(text):
    report = ended(SpecError(text, "", "problem", "remedy"))
    data = report.encode()
    assert LARGEST - 12 < len(data) <= LARGEST and report.message.endswith("…")
    assert read_report(data.decode()) == report
    assert text.encode(errors="replace").decode().startswith(report.message[:-1])


def test_a_report_replaces_what_the_file_held_and_keeps_the_file(tmp_path):
    file = tmp_path / "termination-log"
    file.write_text("x" * 10_000)
    inode = file.stat().st_ino
    write_report(argparse.Namespace(report=str(file)), ended(Stopped("It was asked to stop.")))
    assert json.loads(file.read_text())["kind"] == "Stopped" and file.stat().st_ino == inode


def test_a_report_that_cannot_be_written_is_a_line_and_nothing_more(tmp_path, capsys):
    write_report(argparse.Namespace(report=str(tmp_path / "no" / "such")), ended(Stopped("s")))
    assert "the report cannot be written to" in capsys.readouterr().err


def test_no_report_is_written_where_none_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report(argparse.Namespace(report=None), ended(Stopped("s")))
    write_report(argparse.Namespace(), ended(Stopped("s")))
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_reports_why_and_keeps_its_exit_code(tmp_path):
    file = tmp_path / "report"
    assert cli.main(["reduce", str(tmp_path / "a" / "b" / "c"), "--report", str(file)]) == 64
    report = read_report(file.read_text())
    assert isinstance(report, Ended) and (report.code, report.kind) == (64, "SpecError")
    assert "no run was planned here" in report.message


def test_a_defect_is_reported_and_still_raised(tmp_path, monkeypatch):
    def broken(options):
        raise ZeroDivisionError("a defect\nwith details")

    monkeypatch.setattr("assay_runner.cli.delete.delete", broken)
    file = tmp_path / "report"
    with pytest.raises(ZeroDivisionError):
        cli.main(["delete", "r", "--report", str(file)])
    assert read_report(file.read_text()) == Ended(code=1, kind="ZeroDivisionError", message="a defect")


def test_being_stopped_is_reported_as_such(tmp_path, monkeypatch):
    def stopped(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("assay_runner.cli.delete.delete", stopped)
    file = tmp_path / "report"
    assert cli.main(["delete", "r", "--report", str(file)]) == 75
    assert read_report(file.read_text()).kind == "Stopped"
    assert cli._EXIT_STOPPED == EXIT_STOPPED


def test_what_planner_and_reducer_say_is_read_back():
    for report in (
        Planned(plan=DIGEST, run="s3://b/r", samples=1, chunks=1, storage_mode="conditional"),
        Reduced(plan=DIGEST, results=DIGEST, samples=1, errors=0),
    ):
        assert read_report(report.encode().decode()) == report
