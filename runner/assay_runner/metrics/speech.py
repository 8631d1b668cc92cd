"""Word and character errors of a transcription, counted per document so that a corpus rate is errors over words of all.

Alignments are jiwer's. Text is normalised only where the task says how: published rates are meant with Whisper's
normalisers (Radford et al. 2022, appendix C), whose package carries its own word lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias, cast

from assay_runner.metrics.text import references_of
from assay_runner.statistics.items import Item

Normalization: TypeAlias = Literal["none", "basic", "english"]


def normalize_english(text: str) -> str:
    """Whisper's normaliser for English: case, punctuation, contractions, spellings, numbers as digits, fillers."""
    return _english()(text)


def normalize_basic(text: str) -> str:
    """Whisper's normaliser for other languages: case, punctuation, symbols, and what stands in brackets."""
    return _basic()(text)


def wer(prediction: Item, references: Item, *, normalize: Normalization = "none") -> dict[str, int]:
    """Edits (substitutions, deletions, insertions) and words of the reference, white space between words.

    Raises:
        ValueError: `normalize` is unknown, or there is more than one reference.
    """
    import jiwer

    reference, hypothesis = _texts(prediction, references, normalize)
    if not reference.split():
        return {"edits": len(hypothesis.split()), "words": 0}
    found = jiwer.process_words(reference, hypothesis)
    edits = found.substitutions + found.deletions + found.insertions
    return {"edits": edits, "words": found.hits + found.substitutions + found.deletions}


def cer(prediction: Item, references: Item, *, normalize: Normalization = "none") -> dict[str, int]:
    """Edits and characters of the reference, spaces inside included.

    Raises:
        ValueError: `normalize` is unknown, or there is more than one reference.
    """
    import jiwer

    reference, hypothesis = (text.strip() for text in _texts(prediction, references, normalize))
    if not reference:
        return {"edits": len(hypothesis), "characters": 0}
    found = jiwer.process_characters(reference, hypothesis)
    edits = found.substitutions + found.deletions + found.insertions
    return {"edits": edits, "characters": found.hits + found.substitutions + found.deletions}


def _texts(prediction: Item, references: Item, normalize: str) -> tuple[str, str]:
    several = references_of(references)
    if len(several) > 1:
        raise ValueError(f"a transcription has one reference, but this document has {len(several)}")
    if normalize not in _NORMALIZERS:
        raise ValueError(f"there is no normalisation {normalize!r}; known are: {', '.join(sorted(_NORMALIZERS))}")
    normalizer = _NORMALIZERS[normalize]
    return normalizer(several[0]), normalizer(str(prediction))


def _as_it_is(text: str) -> str:
    return text


@cache
def _english() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    return cast("Callable[[str], str]", EnglishTextNormalizer())


@cache
def _basic() -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer

    return cast("Callable[[str], str]", BasicTextNormalizer())


_NORMALIZERS: dict[str, Callable[[str], str]] = {
    "none": _as_it_is,
    "basic": normalize_basic,
    "english": normalize_english,
}
