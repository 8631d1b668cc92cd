"""A group's difference follows from its tasks' differences, with the degrees of freedom that they leave."""

import numpy as np
import pytest
from scipy import stats

from assay_api.plan import DataPin, GroupPlan, ModelPlan, Plan, TaskPlan
from assay_runner.compare.groups import common_groups, group_rows, mean_of_differences
from assay_runner.compare.rows import Row
from assay_runner.statistics import paired
from assay_runner.statistics.paired import Difference


def plan(*groups):
    pin = DataPin(fingerprint="f", documents=1, source="s")
    tasks = tuple(TaskPlan(name=name, config={}, data=pin, repeats=1, boundaries=(0, 1)) for name in "xyz")
    model = ModelPlan(backend="openai", name="m")
    return Plan(
        assay_version="0", job="j", model=model, tasks=tasks, groups=groups, seed=0, batch_size=1, determinism="exact"
    )


def group(name, *tasks, **wanted):
    return GroupPlan(name=name, tasks=tasks, metrics=({"metric": "acc", **wanted},))


def rows(found, metric="acc", filtered="none"):
    return [Row(metric, filtered, True, found.value_a, found.value_b, found)]


def sample(n, seed, shift=0.0):
    generator = np.random.default_rng(seed)
    return paired.difference([0.0] * n, (generator.normal(size=n) + shift).tolist())


def test_two_tasks_have_welchs_degrees_of_freedom():
    first, second = np.random.default_rng(1).normal(size=12), np.random.default_rng(2).normal(size=30) * 3
    # The mean of d₁ and d₂ is half the difference of d₁ and −d₂, which is Welch's test.
    parts = [paired.difference([0.0] * len(one), one.tolist()) for one in (first, second)]
    found = mean_of_differences(parts, weight_by_size=False)
    expected = stats.ttest_ind(first, -second, equal_var=False)
    low, high = expected.confidence_interval()
    assert found.difference == pytest.approx((first.mean() + second.mean()) / 2, abs=1e-12)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9) and found.method == "satterthwaite"
    assert (found.ci_low, found.ci_high) == pytest.approx((low / 2, high / 2), abs=1e-9)


def test_weights_by_size_give_every_question_the_same_weight():
    parts = [sample(10, 1), sample(90, 2)]
    found = mean_of_differences(parts, weight_by_size=True)
    assert found.difference == pytest.approx(0.1 * parts[0].difference + 0.9 * parts[1].difference) and found.n == 100


def test_a_task_without_error_leaves_the_group_without_interval_and_one_without_difference_without_any():
    no_error, nothing = paired.difference([0.0], [1.0]), Difference(0, None, None, None, None)
    assert mean_of_differences([sample(9, 1), no_error], weight_by_size=False).p_value is None
    assert mean_of_differences([sample(9, 1), nothing], weight_by_size=False).difference is None
    same = paired.difference([1.0], [1.0])
    assert mean_of_differences([same, same], weight_by_size=False).method == "identical"
    assert mean_of_differences([sample(9, 1), same], weight_by_size=False).p_value == pytest.approx(
        sample(9, 1).p_value, rel=1e-9
    )


def test_groups_that_are_not_the_same_in_both_runs_are_named():
    alike, said = common_groups(
        plan(group("all", "x", "y"), group("some", "x"), group("mine", "z")),
        plan(group("all", "y", "x"), group("some", "x", "z"), group("yours", "z"), GroupPlan(name="tag", tasks=("x",))),
    )
    assert [one.name for one in alike] == ["all"]
    assert [note.split()[1] for note in said] == ["some", "mine", "yours"]


def test_a_group_has_a_row_per_filter_that_all_its_tasks_have():
    tasks = {"x": rows(sample(9, 1), filtered="strict"), "y": rows(sample(9, 2), filtered="strict")}
    assert [row.filter for row in group_rows(group("all", "x", "y"), tasks)] == ["strict"]
    tasks["y"] = rows(sample(9, 2))
    assert list(group_rows(group("all", "x", "y"), tasks)) == []
    assert list(group_rows(group("all", "x", "y", filter_list="none"), tasks)) == []
