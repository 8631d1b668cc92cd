"""The numbers in results.json are those that an independent computation over the records gives."""

import asyncio
import io
import json
import math
from collections import Counter
from itertools import groupby

import numpy as np
import pytest
import statsmodels.api as sm

from assay_runner.backends.base import Response
from assay_runner.records import read_samples
from support.runs import TASK, WORDS, AnsweringBackend, planned, results_bytes, worker, write_task


class Sampling(AnsweringBackend):
    """Answers by the request's seed, as a sampling model does."""

    def _response(self, request):
        return Response(request.key, text=WORDS[request.seed % 3], tokens_in=1, tokens_out=1, latency=0.5)


def finished(tmp_path, backend=None, task=TASK, **spec):
    write_task(tmp_path / "tasks", documents=90, task=task)
    run = planned(tmp_path, **spec)
    asyncio.run(worker(run, backend=backend, index=0).run())
    results = json.loads(results_bytes(run))
    metrics = {metric["metric"]: metric for metric in results["tasks"][0]["metrics"]}
    return (
        metrics,
        list(read_samples(io.BytesIO(run.store.get("samples.jsonl.zst")))),
        json.loads(run.store.get("run.json")),
    )


def test_a_clustered_mean_equals_an_ordinary_regression_with_clustered_errors(tmp_path):
    metrics, samples, _ = finished(tmp_path)
    scores = np.array([sample["items"]["exact_match"] for sample in samples])
    shelves = [sample["cluster"] for sample in samples]
    fit = sm.OLS(scores, np.ones(len(scores))).fit(
        cov_type="cluster", cov_kwds={"groups": np.unique(shelves, return_inverse=True)[1]}, use_t=True
    )
    found = metrics["exact_match"]
    assert found["value"] == pytest.approx(scores.mean(), abs=1e-12)
    assert found["stderr"] == pytest.approx(fit.bse[0], abs=1e-9)
    low, high = fit.conf_int()[0]
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((low, high), abs=1e-9)
    assert found["method"] == "clustered-t" and found["clusters"] == 18 and found["n"] == 90


def test_an_aggregation_of_the_task_s_own_gets_all_items_in_planned_order_and_an_interval(tmp_path):
    metrics, samples, _ = finished(tmp_path)
    items = [sample["items"]["f1"] for sample in samples]
    expected = sum(right for right, _ in items) / 90 + sum(luck for _, luck in items) / 1000
    found = metrics["f1"]
    assert found["value"] == expected and found["method"] == "cluster-bootstrap"
    assert found["ci_low"] < found["value"] < found["ci_high"] and found["stderr"] > 0


def test_repeats_give_the_average_pass_and_majority_over_documents(tmp_path):
    task = (
        TASK.replace("cluster_key: shelf\n", "")
        .replace("process_results: !function utils.score\n", "")
        .replace("  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", "")
    )
    metrics, samples, _ = finished(tmp_path, Sampling(), task, tasks=[{"name": "colours", "repeats": 5}])
    documents = [list(group) for _, group in groupby(samples, key=lambda sample: sample["document"])]
    assert [len(group) for group in documents] == [5] * 90
    rights = [sum(sample["items"]["exact_match"] for sample in group) for group in documents]
    assert metrics["exact_match:avg@5"]["value"] == pytest.approx(sum(rights) / 450, abs=1e-12)
    for k in (1, 2, 4, 5):
        expected = sum(1 - math.comb(5 - int(right), k) / math.comb(5, k) for right in rights) / 90
        assert metrics[f"exact_match:pass@{k}"]["value"] == pytest.approx(expected, abs=1e-12)
    votes = 0.0
    for group in documents:
        answers = [sample["answers"][0]["text"] for sample in group]
        winner = max(answers, key=lambda answer: (Counter(answers)[answer], -answers.index(answer)))
        votes += group[answers.index(winner)]["items"]["exact_match"]
    assert metrics["exact_match:majority@5"]["value"] == pytest.approx(votes / 90, abs=1e-12)
    assert {metric["n"] for metric in metrics.values()} == {90}


def test_the_run_report_pools_tokens_and_latencies_over_samples(tmp_path):
    _, samples, report = finished(tmp_path)
    latencies = [sample["usage"]["latency"] for sample in samples]
    assert report["latency"]["p90"] == pytest.approx(np.percentile(latencies, 90), abs=1e-12)
    assert report["latency"]["max"] == max(latencies)
    assert report["tokens_in"] == sum(sample["usage"]["tokens_in"] for sample in samples)
    assert report["samples"] == 90 and report["doubled_chunks"] == 0 and report["workers"][0]["chunks"] == 12


def test_samples_are_written_in_plan_order_with_what_was_asked(tmp_path):
    _, samples, _ = finished(tmp_path)
    assert [sample["id"] for sample in samples] == [f"colours/{number}/0" for number in range(90)]
    assert samples[3]["prompt"] == [
        {"role": "user", "content": [{"type": "text", "text": "What is the colour of thing 3?"}]}
    ]
    assert samples[3]["document_id"] == "thing 3" and samples[3]["target"] == WORDS[3]
