"""Items come out of the records as the task returned them, or not at all."""

import json
import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.items import to_plain, untagged

KEYS = st.text(st.characters(exclude_categories=["Cs"])) | st.integers() | st.booleans() | st.tuples(st.integers())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
ITEMS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


def recorded(item):
    """The item, written to the records and read from them."""
    return json.loads(json.dumps(to_plain(item, "m"), allow_nan=False), object_hook=untagged)


@given(ITEMS)
def test_items_survive_json_exactly(item):
    assert repr(recorded(item)) == repr(item)


@given(ITEMS)
def test_without_tags_an_item_is_what_json_makes_of_it(item):
    plain = to_plain(item, "m", tags=False)
    if not _has_infinity(item):
        assert plain == json.loads(json.dumps(plain, allow_nan=False))


def _has_infinity(item):
    if isinstance(item, float):
        return math.isinf(item)
    if isinstance(item, dict):
        return any(map(_has_infinity, item.values()))
    return isinstance(item, list | tuple) and any(map(_has_infinity, item))


def test_nan_survives_and_is_missing_for_aggregations_of_plain_numbers():
    assert math.isnan(recorded(math.nan))
    assert to_plain(math.nan, "m", tags=False) is None


@pytest.mark.parametrize(
    ("given_", "plain"),
    [
        (numpy.float64(0.1), 0.1),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3),
        (numpy.bool_(True), True),
        (numpy.str_("a"), "a"),
        ({"b": numpy.arange(2)}, {"b": [0, 1]}),
        ({"b", "a"}, ["a", "b"]),
        ("\ud800", "\ufffd"),
    ],
)
def test_foreign_values_become_plain_ones(given_, plain):
    found = to_plain(given_, "m")
    assert found == plain and json.dumps(found)


@pytest.mark.parametrize("value", [object(), b"bytes", {"deep": [object()]}, 1j, print])
def test_what_json_cannot_hold_is_an_error_that_names_the_metric(value):
    with pytest.raises(TaskError, match="metric speed"):
        to_plain(value, "speed")
