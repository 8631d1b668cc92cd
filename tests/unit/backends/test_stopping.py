"""Answers end before the earliest stop string."""

from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.stopping import cut

texts = st.text(alphabet="ab\n猫", max_size=30)


@given(texts, st.lists(st.text(alphabet="ab\n猫", max_size=3), max_size=4))
def test_what_is_kept_holds_no_stop_string_and_is_as_long_as_possible(text: str, stop: list[str]) -> None:
    kept, stopped = cut(text, stop)
    real = [string for string in stop if string]
    assert text.startswith(kept)
    assert not any(string in kept for string in real)
    assert stopped == any(string in text for string in real)
    if stopped:
        assert any(text[len(kept) :].startswith(string) for string in real)
    else:
        assert kept == text


def test_the_earliest_stop_string_wins_not_the_first_listed() -> None:
    assert cut("one. two\nthree", ["\n", "."]) == ("one", True)
