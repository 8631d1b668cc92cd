import math

import pytest

from assay_runner.statistics import aggregations
from assay_runner.statistics.estimate import Estimate, estimate, of_numbers
from assay_runner.statistics.group import mean_of_tasks, pooled

FIRST = of_numbers([1, 1, 0, 1, 0, 0])
SECOND = of_numbers([1.0, 0.5])
MEAN = aggregations.get("mean")


def test_a_group_is_the_mean_of_its_tasks_with_their_errors_propagated():
    found = mean_of_tasks([FIRST, SECOND], weight_by_size=False)
    assert found.value == pytest.approx((0.5 + 0.75) / 2)
    assert found.stderr == pytest.approx(math.hypot(FIRST.stderr, SECOND.stderr) / 2, rel=1e-12)
    assert found.ci_high - found.value == pytest.approx(1.959963984540054 * found.stderr)
    assert (found.method, found.n, found.clusters) == ("normal", 8, None)


def test_weighted_by_size_a_group_has_the_mean_of_all_documents():
    found = mean_of_tasks([FIRST, SECOND], weight_by_size=True)
    assert found.value == pytest.approx(estimate([1, 1, 0, 1, 0, 0, 1.0, 0.5], MEAN, None, 0).value)
    assert found.stderr == pytest.approx(math.hypot(6 / 8 * FIRST.stderr, 2 / 8 * SECOND.stderr), rel=1e-12)


def test_a_task_without_a_value_leaves_the_group_without_one():
    assert mean_of_tasks([FIRST, of_numbers([])], weight_by_size=False).value is None
    several = Estimate({"a": 1.0}, None, None, None, "none", 3)
    assert mean_of_tasks([FIRST, several], weight_by_size=True).value is None
    assert mean_of_tasks([], weight_by_size=True) == Estimate(None, None, None, None, "none", 0, None)


def test_a_task_without_a_standard_error_leaves_the_group_without_an_interval():
    found = mean_of_tasks([FIRST, of_numbers([0.5])], weight_by_size=False)
    assert (found.value, found.stderr, found.ci_low, found.method) == (0.5, None, None, "none")


def test_tasks_without_spread_leave_the_group_without_an_interval():
    found = mean_of_tasks([of_numbers([1, 1]), of_numbers([0, 0])], weight_by_size=False)
    assert (found.value, found.stderr, found.ci_low, found.method) == (0.5, 0.0, None, "none")


def test_pooled_documents_are_one_task():
    found = pooled([([1, 0, 1], None), ([0, 0], None)], MEAN, 0)
    assert found == estimate([1, 0, 1, 0, 0], MEAN, None, 0)


def test_clusters_of_the_same_name_in_two_tasks_are_two_clusters():
    found = pooled([([1, 0, 1], ["a", "a", "b"]), ([0, 0.5], ["a", "a"]), ([1, 0], None)], MEAN, 0)
    assert (found.n, found.clusters, found.method) == (7, 5, "clustered-t")
    assert found.stderr == pytest.approx(of_numbers([1, 0, 1, 0, 0.5, 1, 0], list("aabccde")).stderr, rel=1e-12)
