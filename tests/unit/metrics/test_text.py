import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from assay_runner.metrics import text


@pytest.mark.parametrize(
    ("prediction", "references", "options", "expected"),
    [
        ("Paris", "Paris", {}, 1.0),
        ("paris", "Paris", {}, 0.0),
        ("paris", "Paris", {"ignore_case": True}, 1.0),
        ("Paris.", "Paris", {}, 0.0),
        ("Paris.", "Paris", {"ignore_punctuation": True}, 1.0),
        ("Paris 75", "Paris 13", {"ignore_numbers": True}, 1.0),
        ("$1,234", "1234", {"regexes_to_ignore": [",", r"\$"]}, 1.0),
        ("#### 7", "7", {"regexes_to_ignore": "#### "}, 1.0),
        ("Paris ", "Paris", {}, 0.0),
        ("London", ["Paris", "London"], {}, 1.0),
        ("7", 7, {}, 1.0),
    ],
)
def test_exact_match_ignores_what_it_is_told_to_and_nothing_else(prediction, references, options, expected):
    assert text.exact_match(prediction, references, **options) == expected


def test_exact_match_deletes_regexes_before_it_lowers_case():
    assert text.exact_match("The cat", "cat", ignore_case=True, regexes_to_ignore=["the "]) == 0.0
    assert text.exact_match("The cat", "cat", ignore_case=True, regexes_to_ignore=["The "]) == 1.0


def test_no_reference_is_an_error_and_not_a_wrong_answer():
    for metric in (text.exact_match, text.contains, text.anls, text.token_f1, text.relaxed_accuracy):
        with pytest.raises(ValueError, match="no reference"):
            metric("Paris", [])


def test_contains_looks_for_any_reference():
    assert text.contains("It is Paris.", ["Rome", "Paris"]) == 1.0
    assert text.contains("It is paris.", "Paris") == 0.0
    assert text.contains("It is paris.", "Paris", ignore_case=True) == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("105", "100", 1.0),
        ("105.1", "100", 0.0),
        ("95", "100", 1.0),
        ("-96", "-100", 1.0),
        ("96", "-100", 0.0),
        ("50%", "0.5", 1.0),
        ("0", "0", 1.0),
        ("0.001", "0", 0.0),
        ("Yes", "yes", 1.0),
        ("nan", "5", 0.0),
        ("inf", "5", 0.0),
        ("about 5", "5", 0.0),
    ],
)
def test_relaxed_accuracy_allows_five_percent_of_a_number_and_no_other_text(prediction, reference, expected):
    assert text.relaxed_accuracy(prediction, reference) == expected


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("the Eiffel Tower", "Eiffel tower!", 1.0),
        ("Eiffel", "Eiffel Tower", 2 / 3),
        ("Rome", ["Paris", "Rome Italy"], 2 / 3),
        ("the", "a", 1.0),
        ("", "Paris", 0.0),
        ("cat cat", "cat", 2 / 3),
    ],
)
def test_token_f1_is_squads(prediction, references, expected):
    assert text.token_f1(prediction, references) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("Coca Cola", "coca  cola", 1.0),
        ("Coca Kola", "coca cola", 1 - 1 / 9),
        ("ab", "ax", 0.5),
        ("abcd", "abc", 0.75),
        ("abc", "axx", 0.0),
        ("x", ["y", "x"], 1.0),
        ("", "", 1.0),
        ("", "abc", 0.0),
    ],
)
def test_anls_is_the_challenges(prediction, references, expected):
    assert text.anls(prediction, references) == pytest.approx(expected, abs=1e-12)


@given(st.text("abc ä", max_size=12), st.text("abc ä", max_size=12))
def test_levenshtein_distance_equals_rapidfuzz(first, second):
    assert text.levenshtein_distance(first, second) == Levenshtein.distance(first, second)
