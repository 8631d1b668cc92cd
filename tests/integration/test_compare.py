"""`assay compare`, as a user types it: two real runs that answer differently, and runs that must not be compared."""

import json

import pytest
import statsmodels.api as sm
from scipy import stats

from assay_runner.records import read_samples
from support.endpoint import MODEL, TestEndpoint, reply
from support.runs import TASK, answer_of, write_task

WORSE = "worse"


async def answers(path, body):
    """The test model; the one called WORSE says nothing on every seventh question."""
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    silent = body["model"] == WORSE and int(text.rstrip("?").rpartition(" ")[2]) % 7 == 0
    return reply(path, "" if silent else answer_of(text), "stop", len(text), 1)


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(answer=answers, models=(MODEL, WORSE)) as server:
        yield server


@pytest.fixture
def evaluate(assay, write_job, endpoint, tmp_path):
    """Run the test task and return the run's address."""

    def run(name, *, model=MODEL, documents=120, task=TASK, **spec):
        write_task(tmp_path / f"tasks-{name}", documents=documents, task=task)
        job = write_job(
            name,
            model={"backend": "openai", "name": model, "endpoint": {"url": endpoint.url}},
            taskSources=[{"uri": f"tasks-{name}"}],
            **{"tasks": [{"name": "colours"}], "chunkSize": 16, **spec},
        )
        done = assay("run", job, "--workers", 1, check=0)
        return next(line for line in done.stderr.splitlines() if line.startswith("run: ")).removeprefix("run: ")

    return run


def scores(tmp_path, address):
    rows = read_samples((tmp_path / address / "samples.jsonl.zst").read_bytes())
    return [(row["items"]["exact_match"], row["cluster"]) for row in rows]


def test_two_models_are_compared_question_by_question(assay, evaluate, tmp_path):
    # Chunks are cut differently: the same questions are compared all the same.
    baseline, candidate = evaluate("baseline"), evaluate("candidate", model=WORSE, chunkSize=50)
    shown = assay("compare", baseline, candidate, check=0).stdout
    assert "A: stub on openai, job baseline" in shown and "B: worse on openai, job candidate" in shown
    printed = assay("compare", baseline, candidate, "--json", check=0).stdout
    assert printed == assay("compare", baseline, candidate, "--json", check=0).stdout
    compared = json.loads(printed)
    assert compared["schema"] == "assay/comparison/v1" and compared["notes"] == []
    right, own = compared["tasks"][0]["metrics"]

    pairs = list(zip(scores(tmp_path, baseline), scores(tmp_path, candidate), strict=True))
    deltas = [b - a for (a, _), (b, _) in pairs]
    shelves = [int(cluster.split()[1]) for (_, cluster), _ in pairs]
    fit = sm.OLS(deltas, [1.0] * 120).fit(cov_type="cluster", cov_kwds={"groups": shelves}, use_t=True)
    assert right["difference"] == pytest.approx(fit.params[0], abs=1e-12) and right["difference"] < 0
    assert right["stderr"] == pytest.approx(fit.bse[0], abs=1e-9)
    assert right["p_value"] == pytest.approx(fit.pvalues[0], abs=1e-9)
    assert (right["ci_low"], right["ci_high"]) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)
    assert (right["wins"], right["losses"]) == (0, -sum(deltas)) and right["clusters"] == 24
    assert right["mcnemar"]["p_value"] == pytest.approx(stats.binomtest(0, right["losses"]).pvalue, abs=1e-12)
    assert right["headline"] and not own["headline"] and right["verdict"] == "worse"
    assert right["sentence"] in shown and right["sentence"].startswith("A is better on colours exact_match by ")
    assert own["metric"] == "f1" and own["method"] == "cluster-bootstrap" and own["p_value"] < 0.05

    turned = json.loads(assay("compare", candidate, baseline, "--json", check=0).stdout)["tasks"][0]["metrics"]
    assert [one["difference"] for one in turned] == [-right["difference"], -own["difference"]]
    assert [one["p_value"] for one in turned] == [right["p_value"], own["p_value"]]


def test_a_run_compared_with_itself_differs_by_nothing(assay, evaluate):
    address = evaluate("same", documents=30)
    shown = assay("compare", address, address, check=0).stdout
    assert (
        "A and B score the same on every one of the 30 questions of colours exact_match: the difference is 0." in shown
    )


def test_runs_over_other_documents_or_another_task_are_refused_and_told_in_what_they_differ(assay, evaluate):
    first = evaluate("first", documents=30)
    fewer = evaluate("fewer", documents=20)
    other = evaluate(
        "other", documents=30, task=TASK.replace("What is", "Name").replace("temperature: 0", "temperature: 1")
    )
    done = assay("compare", first, fewer, check=64)
    assert "task colours: documents 30 against 20; task colours: data " in done.stderr and not done.stdout
    done = assay("compare", first, other, "--json", check=64)
    assert "task colours: doc_to_messages " in done.stderr and "generation" not in done.stderr and not done.stdout


def test_a_run_without_results_is_no_run_to_compare(assay, evaluate, tmp_path):
    address = evaluate("whole", documents=30)
    assert "there is no plan" in assay("compare", address, address[:-1] + "x", check=64).stderr
    assert "this is no run" in assay("compare", "somewhere", address, check=64).stderr
    (tmp_path / address / "results.json").unlink()
    assert "has no results yet" in assay("compare", address, address, check=1).stderr
