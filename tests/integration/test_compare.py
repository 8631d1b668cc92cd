"""`assay compare`, as a user types it: two real runs that answer differently, and runs that must not be compared."""

import io
import json
from pathlib import Path

import pytest
import statsmodels.api as sm
from scipy import stats

from assay_runner.records import read_samples
from support.endpoint import MODEL, TestEndpoint, reply
from support.runs import TASK, answer_of, write_task

WORSE = "worse"
PLAIN = TASK.replace("process_results: !function utils.score\n", "").replace(
    "  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", ""
)


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
    """Run the test task and return the run's folder."""

    def run(name, *, model=MODEL, documents=120, **spec):
        write_task(tmp_path / f"tasks-{name}", documents=documents, task=PLAIN)
        job = write_job(
            name,
            model={"backend": "openai", "name": model, "endpoint": {"url": endpoint.url}},
            tasks=[{"name": "colours"}],
            taskSources=[{"uri": f"tasks-{name}"}],
            **spec,
        )
        done = assay("run", job, "--workers", 1, check=0)
        said = next(line for line in done.stderr.splitlines() if line.startswith("run: "))
        return Path(said.removeprefix("run: ").removeprefix("file://"))

    return run


def scores(run):
    rows = read_samples(io.BytesIO((run / "samples.jsonl.zst").read_bytes()))
    return [(row["items"]["exact_match"], row["cluster"]) for row in rows]


def test_two_models_are_compared_question_by_question(assay, evaluate):
    # Chunks are cut differently: the same questions are compared all the same.
    a, b = evaluate("baseline", chunkSize=16), evaluate("candidate", model=WORSE, chunkSize=50)
    shown = assay("compare", a, f"file://{b}", check=0).stdout
    assert "A: stub on openai, job baseline" in shown and "B: worse on openai, job candidate" in shown
    printed = assay("compare", a, b, "--json", check=0).stdout
    assert printed == assay("compare", a, b, "--json", check=0).stdout
    compared = json.loads(printed)
    assert compared["schema"] == "assay/comparison/v1" and compared["notes"] == []
    (found,) = compared["tasks"][0]["metrics"]

    pairs = list(zip(scores(a), scores(b), strict=True))
    deltas = [after - before for (before, _), (after, _) in pairs]
    shelves = [int(cluster.split()[1]) for (_, cluster), _ in pairs]
    fit = sm.OLS(deltas, [1.0] * 120).fit(cov_type="cluster", cov_kwds={"groups": shelves}, use_t=True)
    assert found["difference"] == pytest.approx(fit.params[0], abs=1e-12) and found["difference"] < 0
    assert found["stderr"] == pytest.approx(fit.bse[0], abs=1e-9)
    assert found["p_value"] == pytest.approx(fit.pvalues[0], abs=1e-9)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)
    assert (found["wins"], found["losses"]) == (0, -sum(deltas)) and found["clusters"] == 24
    assert found["mcnemar"]["p_value"] == pytest.approx(stats.binomtest(0, found["losses"]).pvalue, abs=1e-12)
    assert found["sentence"] in shown and found["sentence"].startswith("A is better on colours exact_match by ")


def test_what_cannot_be_compared_is_refused_with_a_sentence_and_nothing_on_stdout(assay, evaluate):
    whole, fewer = evaluate("whole", documents=30), evaluate("fewer", documents=20)
    done = assay("compare", whole, fewer, "--json", check=64)
    assert "task colours: documents 30 against 20; task colours: data " in done.stderr and not done.stdout
    assert "there is no plan" in assay("compare", whole, f"{whole}x", check=64).stderr
    assert "this is no run" in assay("compare", "somewhere", whole, check=64).stderr
    (fewer / "results.json").unlink()
    assert "has no results yet" in assay("compare", whole, fewer, check=1).stderr
