"""The commands beside `run`, as a user types them."""

import json
from pathlib import Path

import pytest

from support.endpoint import MODEL, TestEndpoint
from support.runs import colours, write_task


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(answer=colours) as server:
        yield server


@pytest.fixture
def job(tmp_path, write_job, endpoint):
    write_task(tmp_path / "tasks", documents=40)
    return write_job(
        "colours",
        model={"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
        tasks=[{"name": "colours"}],
        taskSources=[{"uri": "tasks"}],
        chunkSize=8,
    )


def test_plan_work_and_reduce_are_the_parts_of_run(assay, job, tmp_path):
    whole = assay("run", job, "--json", "--store", tmp_path / "whole", check=0).stdout
    planned = assay("plan", job, "--store", tmp_path / "parts", check=0).stdout
    assert "colours" in planned and "40 samples in 5 chunks" in planned and "storage: conditional" in planned
    run = planned.splitlines()[-1].removeprefix("run: ")
    assert "no results yet" in assay("results", run, check=1).stderr
    assert "5 of 5 chunks with 40 of 40 samples are not committed" in assay("reduce", run, check=1).stderr
    done = assay("work", run, "--index", 0, "--of", 1, "--worker", "by-hand", check=0)
    assert "by-hand: chunk colours/000000: 8 samples" in done.stderr
    table = assay("reduce", run, check=0).stdout
    assert "exact_match" in table and "40 of 40 samples scored, 0 errors" in table
    report = table.splitlines()[-1].removeprefix("report: ").strip()
    assert Path(report.removeprefix("file://")).read_text().startswith("<!doctype html>")
    assert assay("results", run, "--json", check=0).stdout == whole
    assert assay("results", run, check=0).stdout == table


def test_planning_twice_gives_the_same_plan_and_the_same_run(assay, job):
    first, second = assay("plan", job, "--json", check=0), assay("plan", job, "--json", check=0)
    assert first.stdout == second.stdout and first.stderr == second.stderr
    assert json.loads(first.stdout)["schema"] == "assay/plan/v1"


def test_a_limit_on_the_command_line_is_another_run(assay, job):
    whole = assay("plan", job, check=0).stdout.splitlines()
    part = assay("plan", job, "--limit", 10, check=0).stdout.splitlines()
    assert whole[-1] != part[-1] and any("10 samples in 2 chunks" in line for line in part)


def test_tasks_lists_what_is_shipped_and_what_a_folder_adds(assay, job, tmp_path):
    shipped = {row["name"] for row in json.loads(assay("tasks", "--json", check=0).stdout)}
    assert {"easy_vqa", "gsm8k", "piqa", "boolq", "openbookqa", "commonsense_qa", "mmlu", "asr_wer"} <= shipped
    assert sum(name.startswith("mmlu_") for name in shipped) >= 57
    added = {
        row["name"] for row in json.loads(assay("tasks", "--json", "--source", tmp_path / "tasks", check=0).stdout)
    }
    assert added - shipped == {"colours"}
    assert "easy_vqa" in assay("tasks", check=0).stdout


def test_the_order_of_a_set_in_task_code_is_the_same_in_every_process(assay, job, tmp_path):
    order = "float(int(''.join(str('abcdefghi'.index(letter)) for letter in set('abcdefghi'))))"
    (tmp_path / "tasks" / "utils.py").write_text(f"def score(doc, results):\n    return {{'exact_match': {order}}}\n")
    task = (tmp_path / "tasks" / "colours.yaml").read_text()
    lines = [line for line in task.splitlines() if "utils.lenient" not in line]
    (tmp_path / "tasks" / "colours.yaml").write_text("\n".join(lines))
    first, second = (assay("run", job, "--json", "--store", tmp_path / name, check=0).stdout for name in "ab")
    assert first == second


def test_the_key_never_shows(assay, job, tmp_path):
    secret = "sk-very-secret-indeed"
    done = assay("run", job, "--store", tmp_path / "s", env={"OPENAI_API_KEY": secret}, check=0)
    assert secret not in done.stdout + done.stderr
    for path in (tmp_path / "s").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
