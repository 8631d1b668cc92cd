import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.metrics import speech

_SENTENCES = st.lists(st.sampled_from(["a", "b", "cat", "dog"]), max_size=8).map(" ".join)


@given(_SENTENCES.filter(bool), _SENTENCES)
def test_word_and_character_error_rates_equal_jiwers(reference, hypothesis):
    words, characters = speech.wer(hypothesis, reference), speech.cer(hypothesis, reference)
    assert words["edits"] / words["words"] == pytest.approx(jiwer.wer(reference, hypothesis), abs=1e-12)
    assert characters["edits"] / characters["characters"] == pytest.approx(jiwer.cer(reference, hypothesis), abs=1e-12)


def test_what_is_said_where_the_reference_is_silent_counts_as_insertions():
    assert speech.wer("um well", "") == {"edits": 2, "words": 0}
    assert speech.cer("um", " ") == {"edits": 2, "characters": 0}


def test_normalisation_is_applied_to_both_sides_and_only_when_asked_for():
    said, written = "mister smith is colour costs twenty dollars", "Mr. Smith's color costs $20"
    assert speech.wer(said, written, normalize="english")["edits"] == 0
    assert speech.wer(said, written)["edits"] > 0
    assert speech.wer("Grüße, Welt", "grüße welt", normalize="basic")["edits"] == 0


def test_an_unknown_normalisation_names_the_known_ones():
    with pytest.raises(ValueError, match="known are: basic, english, none"):
        speech.wer("a", "a", normalize="whisper")


def test_two_references_are_refused():
    with pytest.raises(ValueError, match="has 2"):
        speech.wer("a", ["a", "b"])
