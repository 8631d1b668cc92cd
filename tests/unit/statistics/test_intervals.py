import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from assay_runner.statistics import intervals
from assay_runner.statistics.estimate import of_numbers

CLOSE = {"rel": 1e-9, "abs": 1e-9}
_VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60)


@given(_VALUES)
def test_standard_error_and_t_interval_equal_scipys(values):
    assume(np.ptp(values) > 1e-3)
    found = of_numbers([*values, 0.5])
    expected = stats.sem([*values, 0.5])
    low, high = stats.t.interval(0.95, len(values), loc=np.mean([*values, 0.5]), scale=expected)
    assert found.method == "t"
    assert found.stderr == pytest.approx(expected, **CLOSE)
    assert (found.ci_low, found.ci_high) == (pytest.approx(low, **CLOSE), pytest.approx(high, **CLOSE))


@given(st.lists(st.tuples(st.floats(-10, 10), st.sampled_from("abcdefgh")), min_size=4, max_size=80))
def test_clustered_standard_error_and_interval_equal_those_of_statsmodels(rows):
    values, clusters = zip(*rows, strict=True)
    groups = len(set(clusters))
    assume(1 < groups < len(values) and np.ptp(values) > 1e-3)
    numbers = [ord(cluster) for cluster in clusters]
    model = sm.OLS(np.array(values), np.ones(len(values)))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": numbers}, use_t=True)
    found = of_numbers(values, clusters)
    assume(fit.bse[0] > 1e-6)
    low, high = fit.conf_int()[0]
    assert (found.clusters, found.n) == (groups, len(values))
    assert found.stderr == pytest.approx(fit.bse[0], **CLOSE)
    if found.method == "clustered-t":
        clip = (0.0, 1.0) if set(values) <= {0.0, 1.0} else (-np.inf, np.inf)
        assert found.ci_low == pytest.approx(max(low, clip[0]), **CLOSE)
        assert found.ci_high == pytest.approx(min(high, clip[1]), **CLOSE)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_interval_equals_that_of_statsmodels(n, share):
    right = round(share * n)
    low, high = intervals.wilson_interval(right / n, n)
    expected = proportion_confint(right, n, method="wilson")
    assert (low, high) == (pytest.approx(expected[0], **CLOSE), pytest.approx(expected[1], **CLOSE))
    assert 0 <= low <= right / n <= high <= 1


@given(st.integers(1, 100_000))
def test_t_quantiles_equal_scipys(degrees):
    assert intervals.t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-11)


def test_one_document_per_cluster_is_as_good_as_no_clusters():
    values = [0.1, 0.9, 0.4, 0.7, 0.2]
    assert intervals.clustered_standard_error(values, list("abcde")) == pytest.approx(
        intervals.standard_error(values), rel=1e-12
    )
