"""Differences of paired scores equal those of scipy and statsmodels, and what cannot be said is not said."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from assay_runner.statistics import paired

NUMBER = st.floats(-100, 100).map(lambda value: round(value, 6))
PAIRS = st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=40).filter(
    lambda pairs: len({round(b - a, 6) for a, b in pairs}) > 1
)


def clustered(sizes, seed=0, binary=False):
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    a, b = (generator.normal(size=len(sizes))[groups] + generator.normal(size=len(groups)) for _ in range(2))
    if binary:
        a, b = (a > 0).astype(float), (b > 0.3).astype(float)
    return a.tolist(), b.tolist(), groups


def reduced(deltas, groups):
    """CR2 error and Satterthwaite's degrees of a regression on a constant, by the matrices of Bell & McCaffrey (2002)."""
    n = len(deltas)
    hat = np.full((n, n), 1 / n)
    residual = np.eye(n) - hat
    columns = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        block = linalg.inv(linalg.sqrtm(np.eye(len(members)) - hat[np.ix_(members, members)])).real
        columns.append(residual[:, members] @ block @ np.full(len(members), 1 / n))
    loadings = np.array(columns).T
    gram = loadings.T @ loadings
    return math.sqrt(((loadings.T @ deltas) ** 2).sum()), np.trace(gram) ** 2 / (gram**2).sum()


@given(PAIRS)
def test_independent_documents_get_the_paired_t_test(pairs):
    a, b = zip(*pairs, strict=True)
    found = paired.difference(a, b)
    expected = stats.ttest_rel(b, a)
    low, high = expected.confidence_interval()
    assert found.method == "paired-t" and found.degrees == len(pairs) - 1
    assert found.difference == pytest.approx(np.mean(b) - np.mean(a), abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("groups", "size"), [(2, 30), (7, 4), (60, 3)])
def test_clusters_of_one_size_get_a_regression_s_clustered_errors(groups, size, binary):
    a, b, names = clustered([size] * groups, seed=size, binary=binary)
    found = paired.difference(a, b, [f"image {name}" for name in names])
    fit = sm.OLS(np.subtract(b, a), np.ones(len(a))).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    assert found.method == "clustered-t" and found.clusters == groups and found.degrees == groups - 1
    assert found.stderr == pytest.approx(fit.bse[0], abs=1e-9)
    assert found.p_value == pytest.approx(fit.pvalues[0], abs=1e-9)
    low, high = fit.conf_int()[0]
    expected = (max(low, -1), min(high, 1)) if binary else (low, high)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("sizes", [(1, 2, 30), (5, 1, 1, 1, 2, 9), tuple(range(1, 25))])
def test_unequal_clusters_get_the_bias_reduced_error_and_its_degrees_of_freedom(sizes):
    a, b, names = clustered(sizes, seed=len(sizes))
    found = paired.difference(a, b, [str(name) for name in names])
    stderr, degrees = reduced(np.subtract(b, a), names)
    assert found.stderr == pytest.approx(stderr, rel=1e-9) and found.degrees == pytest.approx(degrees, rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.difference) / stderr, degrees), abs=1e-9)


@pytest.mark.parametrize("sizes", [(4,) * 12, (1, 2, 30), tuple(range(1, 25))])
def test_the_usual_clustered_error_is_given_beside_it_and_equals_statsmodels(sizes):
    a, b, names = clustered(sizes, seed=3)
    found = paired.difference(a, b, [str(name) for name in names])
    fit = sm.OLS(np.subtract(b, a), np.ones(len(a))).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    assert found.usual_stderr == pytest.approx(fit.bse[0], abs=1e-9)
    assert found.usual_p_value == pytest.approx(fit.pvalues[0], abs=1e-9)


def test_clusters_of_one_document_each_are_independent_documents():
    a, b, _ = clustered([1] * 30)
    alone, grouped = paired.difference(a, b), paired.difference(a, b, [str(i) for i in range(30)])
    assert (grouped.stderr, grouped.p_value, grouped.method) == (alone.stderr, alone.p_value, "paired-t")
    assert grouped.usual_stderr is None


@given(PAIRS, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter_and_turning_the_runs_turns_the_sign(pairs, random):
    names = [str(random.randrange(4)) for _ in pairs]
    rows = list(zip(pairs, names, strict=True))
    shuffled = random.sample(rows, len(rows))
    first = paired.difference(*zip(*pairs, strict=True), names)
    again = paired.difference(*zip(*(pair for pair, _ in shuffled), strict=True), [f"x{name}" for _, name in shuffled])
    turned = paired.difference(*reversed(list(zip(*pairs, strict=True))), names)
    assert again.difference == first.difference and turned.difference == -first.difference
    assert again.p_value == pytest.approx(first.p_value, rel=1e-9) if first.p_value else again.p_value is None
    assert turned.p_value == first.p_value and turned.stderr == first.stderr


def test_runs_that_agree_everywhere_differ_by_exactly_nothing():
    found = paired.difference([0.1, 1.0], [0.1, 1.0], ["x", "x"])
    assert (found.difference, found.stderr, found.p_value, found.method) == (0.0, 0.0, 1.0, "identical")


def test_differences_without_spread_are_tested_by_their_sign_alone():
    found = paired.difference([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert found.method == "sign" and found.p_value == 2 / 2**6 and found.stderr == 0 and found.ci_low is None
    assert found.p_value == stats.binomtest(6, 6).pvalue
    clusters = paired.difference([0.0] * 6, [1.0] * 6, ["x", "x", "x", "y", "y", "z"])
    assert clusters.method == "sign" and clusters.p_value == 0.25
    cancelling = paired.difference([0, 1, 0, 1], [1, 0, 1, 0], ["x", "x", "y", "y"])
    assert cancelling.difference == 0 and cancelling.p_value == 1


@pytest.mark.parametrize(("a", "b", "clusters"), [([], [], None), ([1.0], [0.0], None), ([1.0, 0.0], [0.0, 0.0], "xx")])
def test_nothing_one_document_and_one_cluster_have_no_error(a, b, clusters):
    found = paired.difference(a, b, clusters and list(clusters))
    assert (found.stderr, found.p_value, found.ci_low, found.method) == (None, None, None, "none")
    assert found.difference == (sum(b) / len(b) - sum(a) / len(a) if a else None)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="longer"):
        paired.difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="2 documents have 1 clusters"):
        paired.difference([1.0, 2.0], [1.0, 2.0], ["x"])


@pytest.mark.parametrize(("higher", "lower"), [(0, 0), (3, 0), (12, 30), (30, 12), (700, 650), (40_000, 41_000)])
def test_mcnemar_is_exact(higher, lower):
    expected = mcnemar([[5, higher], [lower, 9]], exact=True).pvalue if higher + lower else 1.0
    assert paired.mcnemar(higher, lower) == pytest.approx(expected, abs=1e-9)


def test_wins_losses_and_ties_are_counted():
    assert paired.counts([0, 1, 1, 0], [1, 0, 1, 1]) == paired.Counts(higher=2, lower=1, same=1)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_equals_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert paired.holm(p_values) == pytest.approx(list(expected), abs=1e-12)


@pytest.mark.parametrize("n", [30, 200, 5000])
def test_the_detectable_difference_is_what_a_power_analysis_finds(n):
    stderr = 0.4 / math.sqrt(n)
    detectable = paired.minimum_detectable(stderr, n - 1)
    assert TTestPower().power(detectable / 0.4, n, 0.05) == pytest.approx(0.8, abs=0.004)
    needed = paired.documents_needed(n, detectable, detectable / 3)
    assert needed == pytest.approx(9 * n, abs=1)


def test_the_worst_case_fills_missing_scores_from_both_ends():
    assert paired.worst_case([(1.0, 1.0), (None, 1.0), (0.5, None), (None, None)]) == (-1.5 / 4, 2.5 / 4)
