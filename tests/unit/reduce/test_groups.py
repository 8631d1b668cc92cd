"""A group's score follows from its tasks' scores, by the rule that its file states."""

import math

import pytest

from assay_api.errors import SpecError
from assay_api.plan import DataPin, GroupPlan, ModelPlan, Plan, TaskPlan
from assay_api.results import MetricResult, TaskResult
from assay_runner.reduce.groups import group_results


def task(name, value, stderr, n, metric="acc", filtered="none"):
    row = MetricResult(metric=metric, filter=filtered, value=value, stderr=stderr, n=n, method="t")
    return TaskResult(task=name, metrics=(row,), documents=n, samples=n, data="f")


def plan(*metrics):
    tasks = tuple(
        TaskPlan(
            name=name, config={}, data=DataPin(fingerprint="f", documents=1, source="s"), repeats=1, boundaries=(0, 1)
        )
        for name in "ab"
    )
    model = ModelPlan(backend="openai", name="m")
    group = GroupPlan(name="both", tasks=("a", "b"), metrics=metrics)
    return Plan(
        assay_version="0", job="j", model=model, tasks=tasks, groups=(group,), seed=0, batch_size=1, determinism="exact"
    )


def result(tasks, **wanted):
    return next(iter(group_results(plan({"metric": "acc", **wanted}), tasks))).metrics[0]


def test_without_weights_every_task_counts_alike():
    found = result([task("a", 0.5, 0.03, 100), task("b", 0.9, 0.04, 300)])
    assert found.value == pytest.approx(0.7) and found.stderr == pytest.approx(math.hypot(0.015, 0.02))
    assert (found.ci_low, found.ci_high) == pytest.approx((0.7 - 1.959964 * 0.025, 0.7 + 1.959964 * 0.025), abs=1e-6)
    assert found.n == 400 and found.method == "normal"


def test_with_weights_every_document_counts_alike():
    found = result([task("a", 0.5, 0.03, 100), task("b", 0.9, 0.04, 300)], weight_by_size=True)
    assert found.value == pytest.approx(0.8)


def test_the_filter_of_the_tasks_is_found():
    found = result([task("a", 0.5, 0.1, 10, filtered="strict"), task("b", 0.7, 0.1, 10, filtered="strict")])
    assert found.filter == "strict" and found.value == pytest.approx(0.6)


def test_a_task_without_the_metric_is_named():
    with pytest.raises(
        SpecError, match=r"group both: aggregate_metric_list: task b has no metric acc \(none\); it has f1"
    ):
        result([task("a", 0.5, 0.1, 10), task("b", 0.5, 0.1, 10, metric="f1")])
