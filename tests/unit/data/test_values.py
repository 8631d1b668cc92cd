from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.data.values import NotPlainError, plain, plain_row


class Colour(IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, math.inf),
        (np.float64("nan"), None),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        ((1, (2,)), [1, [2]]),
        (Decimal("12.50"), "12.50"),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.timedelta(minutes=1), 60.0),
        (bytearray(b"x"), b"x"),
        (Colour.RED, 3),
        ({"a": {"b": (math.nan,)}}, {"a": {"b": [None]}}),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_foreign_values_become_plain_ones(value, expected):
    found = plain(value, "x")
    assert found == expected
    assert type(found) is type(expected)


def test_a_value_without_a_plain_form_is_refused_with_its_column():
    with pytest.raises(NotPlainError, match=r"^answers\.best: a set cannot be kept in a document$"):
        plain_row({"answers": {"best": {1, 2}}})


def test_a_key_that_is_no_text_is_refused():
    with pytest.raises(NotPlainError, match="the key 1 is no text"):
        plain_row({"a": {1: 2}})


def test_a_row_that_is_no_object_is_refused():
    with pytest.raises(NotPlainError, match="not str"):
        plain_row("text")


def test_endless_nesting_is_refused_instead_of_exhausting_the_stack():
    value: list = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(NotPlainError, match="nested deeper than 100"):
        plain_row({"a": value})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _JSON))
def test_json_is_plain_already(row):
    assert plain_row(row) == row
    assert json.dumps(plain_row(row)) == json.dumps(row)
