"""`assay run` with gates, as a user types it: verdicts beside the results, and an exit code that a pipeline can act on."""

from pathlib import Path

import pytest

from assay_api.reports import read_report
from assay_api.verdicts import Gates
from support.endpoint import MODEL, TestEndpoint, reply
from support.runs import PLAIN_TASK, answer_of, write_task

WORSE = "worse"
MINIMUM = {"name": "least", "task": "colours", "metric": "exact_match", "minimum": 0.2}


async def answers(path, body):
    """The test model; the one called WORSE says nothing on every fourth question."""
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    silent = body["model"] == WORSE and int(text.rstrip("?").rpartition(" ")[2]) % 4 == 1
    return reply(path, "" if silent else answer_of(text), "stop", len(text), 1)


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(answer=answers, models=(MODEL, WORSE)) as server:
        yield server


@pytest.fixture
def evaluate(assay, write_job, endpoint, tmp_path):
    """Run the test task; the finished command."""
    write_task(tmp_path / "tasks", documents=120, task=PLAIN_TASK)

    def run(name, *arguments, model=MODEL, **spec):
        job = write_job(
            name,
            model={"backend": "openai", "name": model, "endpoint": {"url": endpoint.url}},
            tasks=[{"name": "colours"}],
            taskSources=[{"uri": "tasks"}],
            **spec,
        )
        return assay("run", job, "--workers", 1, *arguments)

    return run


def folder(done):
    said = next(line for line in done.stderr.splitlines() if "run: " in line or "already complete: " in line)
    return said.partition(": ")[2].removeprefix("file://")


def drop(run, name="drop", smallest=0.05):
    asked = {"name": name, "task": "colours", "metric": "exact_match", "baseline": {"run": run}}
    return asked | {"smallestDifference": smallest}


def test_a_model_that_is_worse_than_the_baseline_ends_the_run_with_its_own_exit_code(assay, evaluate, tmp_path):
    baseline = evaluate("baseline")
    assert baseline.returncode == 0
    gates = [MINIMUM, drop(folder(baseline))]
    worse = evaluate("worse", model=WORSE, gates=gates)
    shown = assay("plan", tmp_path / "worse.json.yaml", check=0).stdout
    assert "gate least: colours exact_match at least 0.2" in shown
    assert "gate drop: colours exact_match not worse by 0.05 than in the run with results " in shown
    assert worse.returncode == 3, worse.stderr
    said = " ".join(worse.stdout.split())
    assert "gate least: passed. colours exact_match is at least 0.2: " in said
    assert "gate drop: failed. colours exact_match is worse than the baseline by 5.0 points or more: −" in said

    # A finished run is shown again, with the same verdicts and the same code; as JSON both documents, a line each.
    again = evaluate("worse", "--json", model=WORSE, gates=gates)
    assert again.returncode == 3 and "already complete" in again.stderr
    results, verdicts = again.stdout.splitlines(keepends=True)
    run = Path(folder(worse))
    assert results.encode() == (run / "results.json").read_bytes()
    assert verdicts.encode() == (run / "gates.json").read_bytes()
    assert [one.verdict for one in Gates.decode(verdicts.encode(), "it").verdicts] == ["passed", "failed"]

    # Whoever looks later gets what there is, and no verdict as an exit code; a reducer in a pod passes it on.
    assert "gate drop: failed." in assay("results", run, check=0).stdout
    assert assay("results", run, "--json", check=0).stdout == results
    report = tmp_path / "said"
    assay("reduce", run, "--report", report, check=0)
    told = read_report(report.read_text())
    assert [(word.name, word.verdict) for word in told.gates] == [("least", "passed"), ("drop", "failed")]
    assert all(word.message for word in told.gates)

    # Without the last thing that is written the run is not over.
    (run / "gates.json").unlink()
    assert evaluate("worse", model=WORSE, gates=gates).returncode == 3 and (run / "gates.json").exists()

    # And one that is as good passes.
    assert evaluate("same", gates=gates).returncode == 0


def test_what_cannot_be_told_has_an_exit_code_of_its_own(evaluate):
    done = evaluate("unsure", gates=[MINIMUM | {"minimum": 0.75}])
    assert done.returncode == 4, done.stdout
    said = " ".join(done.stdout.split())
    assert "gate least: cannot tell. Whether colours exact_match is at least 0.75 cannot be told: " in said
    assert "more) would tell if the score stays." in said


def test_an_evaljob_as_baseline_is_for_clusters(evaluate):
    done = evaluate("local", gates=[drop("x") | {"baseline": {"evalJob": "base"}}])
    assert done.returncode == 64 and "gates[0].baseline.evalJob: EvalJobs are known to a cluster only" in done.stderr
