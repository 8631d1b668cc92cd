"""The answer normaliser of the VQA challenge (Antol et al. 2015; the evaluation server's form), as VQA tasks use it."""

from __future__ import annotations

import re

_PLAIN = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's I'm I've
isn't it'd it'll ma'am might've mightn't must've mustn't needn't not've o'clock oughtn't shan't should've shouldn't
somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd
they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd
who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
couldn't've hadn't've he'd've I'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've
there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've
""".split()  # noqa: SIM905
_CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word for word in _PLAIN for place, letter in enumerate(word) if letter == "'"
}
_NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
_NUMBERS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA = re.compile(r"(?<=\d),+(?=\d)")
_PERIOD = re.compile(r"\.(?!\d)")


class EvalAIAnswerProcessor:
    """Call it with an answer to get its normal form."""

    def __call__(self, item: str) -> str:
        """Lower case, without punctuation and articles, numbers as digits, contractions with their apostrophes."""
        text = item.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
        text = text.replace("\n", " ").replace("\t", " ").strip()
        return self.process_digit_article(self.process_punctuation(text))

    def process_punctuation(self, in_text: str) -> str:
        """Punctuation beside a space is deleted, other becomes a space."""
        out = in_text
        for mark in _PUNCTUATION:
            beside = f"{mark} " in in_text or f" {mark}" in in_text or _COMMA.search(in_text)
            out = out.replace(mark, "" if beside else " ")
        return _PERIOD.sub("", out)

    def process_digit_article(self, in_text: str) -> str:
        """Numbers as digits, articles dropped, contractions restored."""
        words = [_NUMBERS.get(word, word) for word in in_text.lower().split()]
        return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in ("a", "an", "the"))
