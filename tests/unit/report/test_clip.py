"""What records hold fits into a script element of a page: bounded, exact, and never markup."""

import json
import math
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from assay_api.base import canonical
from assay_runner.report.clip import LARGEST_ROW, clipped, cut, island, row

TEXT = st.text(st.characters(), max_size=50) | st.sampled_from(
    ["</script>", "<!--<script>", "\ud800", "]]>", "\u2028&"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
CLEAN = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.sampled_from(
    ["</script>", "!cut", "\u2028&"]
)
FINITE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CLEAN,
    lambda inner: st.lists(inner) | st.dictionaries(CLEAN, inner),
    max_leaves=8,
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)


@given(st.dictionaries(TEXT, VALUES, max_size=6))
@settings(max_examples=60)
def test_any_record_is_strict_json_without_a_character_that_html_knows(record):
    found = cut(record)
    text = found.decode()
    json.loads(text, parse_constant=lambda name: 1 / 0)
    assert not set("<>&\u2028\u2029") & set(text)


@given(st.dictionaries(CLEAN, FINITE, max_size=4), CLEAN)
@settings(max_examples=200)
def test_the_row_of_a_line_is_the_record_without_its_id_and_with_its_task(content, sample):
    record = {"answers": content, "document": 3, "id": sample, "repeat": 0}
    found = row(canonical(record), sample, 7)
    expected = cut({"task": 7, "answers": content, "document": 3, "repeat": 0})
    assert json.loads(found) == json.loads(expected)
    assert not set("<>&\u2028\u2029") & set(found.decode())


def test_an_id_inside_of_a_record_stays():
    record = {"answers": [{"id": "t/0/0", "x": 1}], "id": "t/0/0", "repeat": 0}
    assert json.loads(row(canonical(record), "t/0/0", 0)) == {"task": 0, "answers": record["answers"], "repeat": 0}


def test_ordinary_values_come_back_as_they_are():
    value = {"a": [1, 0.1, True, None, "é\n\"'</b>"], "b": {"c": 2**53}}
    assert json.loads(island(clipped(value, 100, 100))) == value


def test_numbers_that_a_browser_cannot_hold_are_text():
    assert clipped([2**53 + 1, math.nan, -math.inf], 100, 100) == ["9007199254740993", "nan", "-inf"]
    huge = 10 ** (sys.get_int_max_str_digits() + 10)
    assert clipped(huge, 10, 10)["!cut"][0] == hex(huge)[:5]


def test_a_cut_says_how_much_is_missing_and_a_text_cannot_pose_as_one():
    assert clipped("0123456789abc", 10, 9) == {"!cut": ["01234", 3, "89abc"]}
    assert clipped([1, 2, 3, 4], 10, 2) == [1, 2, {"!more": 2}]
    assert clipped({"a": 1, "b": 2}, 10, 1) == {"a": 1, "!more": 1}
    assert clipped({"!cut": ["a", 1, "b"], "!more": 3}, 10, 9) == {"!!cut": ["a", 1, "b"], "!!more": 3}


def test_huge_answers_and_wide_values_still_make_a_small_row():
    huge = {"task": 0, "document": 1, "answers": [{"text": "é" * 1_000_000}] * 50}
    found = cut(huge)
    assert len(found) <= LARGEST_ROW and json.loads(found)["answers"][0]["text"]["!cut"][1] > 900_000
    wide: dict = {str(n): "x" * 100 for n in range(50)}
    for _ in range(2):
        wide = {str(n): wide for n in range(50)}
    found = cut({"task": 0, "document": 1, "target": wide, "error": {"kind": "E", "message": "m"}})
    assert len(found) <= LARGEST_ROW and json.loads(found)["document"] == 1
