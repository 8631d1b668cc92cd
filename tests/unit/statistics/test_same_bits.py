"""Arrays change no bit: the figures equal those of plain Python that adds one item after another, whose sums are exact."""

import math
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay_runner.statistics import aggregations, bootstrap, exact, intervals
from assay_runner.statistics.estimate import estimate, of_numbers
from assay_runner.statistics.items import AggregationError
from assay_runner.statistics.units import numbered

VALUES = st.lists(st.floats(-1e9, 1e9) | st.sampled_from([0.0, -0.0, 1.0, 0.1]), min_size=2, max_size=40)
UNITS = st.lists(st.integers(0, 7), min_size=40, max_size=40)


def standard_error(values):
    n, center = len(values), math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - center) * (value - center) for value in values) / (n - 1) / n)


def clustered_standard_error(values, clusters):
    n, center = len(values), math.fsum(values) / len(values)
    members = {}
    for value, cluster in zip(values, clusters, strict=True):
        members.setdefault(cluster, []).append(value - center)
    squares = math.fsum(total * total for total in map(math.fsum, members.values()))
    return math.sqrt(len(members) / (len(members) - 1) * squares) / n


def sums_of_units(rows, units):
    members = {}
    for row, unit in zip(rows, units, strict=True):
        members.setdefault(unit, []).append(row)
    return [[math.fsum(column) for column in zip(*group, strict=True)] for group in members.values()]


@given(VALUES)
def test_means_and_standard_errors_of_independent_documents(values):
    assert exact.mean(np.array(values)) == math.fsum(values) / len(values)
    assert intervals.standard_error(np.array(values)) == standard_error(values)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=9)
    | st.lists(st.sampled_from([0.0, -0.0, 1.0, 0.1, -0.1, 5e-324, 1e16, -1e16, 1e308]), min_size=1),
    st.integers(0, 2**32),
    st.floats(-1e300, 1e300),
)
def test_a_long_sum_of_few_different_values(different, seed, last):
    values = np.random.default_rng(seed).choice(different, 5000)
    values[-1] = last
    try:
        expected = math.fsum(values.tolist())
    except OverflowError:
        with pytest.raises(OverflowError):
            exact.total(values)
    else:
        assert exact.total(values).hex() == expected.hex()


@given(VALUES, UNITS)
def test_clustered_standard_errors(values, units):
    units = units[: len(values)]
    if len(set(units)) < 2:
        units[0] = 8
    expected = clustered_standard_error(values, units)
    assert intervals.clustered_standard_error(values, [f"cluster {unit}" for unit in units]) == expected
    assert intervals.clustered_standard_error(np.array(values), np.array(units)) == expected


@given(VALUES, UNITS)
def test_sums_of_units_in_the_order_in_which_units_first_appear(values, units):
    units = units[: len(values)]
    rows = [(value, 1.0) for value in values]
    found = bootstrap.sums_of_units(np.array(rows), numbered(units)[0])
    assert found.tolist() == sums_of_units(rows, units)


@given(UNITS)
def test_names_and_numbers_of_clusters_are_numbered_alike(units):
    by_name, count = numbered([str(unit) for unit in units])
    by_number, same = numbered(np.array(units))
    order = list(dict.fromkeys(units))
    assert by_name.tolist() == by_number.tolist() == [order.index(unit) for unit in units]
    assert count == same == len(order)


@settings(max_examples=60)
@given(VALUES, UNITS, st.sampled_from(["mean", "nanmean", "sum", "perplexity", "median"]), st.booleans())
def test_items_in_an_array_give_what_a_list_of_them_gives(values, units, name, clustered):
    aggregation = aggregations.get(name)
    names = [str(unit) for unit in units[: len(values)]] if clustered else None
    numbers = None if names is None else np.array(units[: len(values)])
    expected = estimate(values, aggregation, names, 7, 20)
    assert estimate(array("d", values), aggregation, numbers, 7, 20) == expected


def test_whole_numbers_in_an_array_count_as_in_a_list():
    items = [0, 1, 2**53 + 1, 3]
    assert estimate(array("q", items), aggregations.get("mean"), None, 0) == estimate(
        items, aggregations.get("mean"), None, 0
    )


def test_nan_in_an_array_is_left_out_as_none_in_a_list_is():
    clusters = list("aabbc")
    assert of_numbers(np.array([1.0, np.nan, 0.5, 0.25, np.nan]), clusters) == of_numbers(
        [1.0, None, 0.5, 0.25, None], clusters
    )


def test_an_array_item_that_cannot_be_summed_is_named():
    with pytest.raises(AggregationError, match=r"item 1 is 1e\+200"):
        estimate(array("d", [1.0, 1e200]), aggregations.get("mean"), None, 0)
