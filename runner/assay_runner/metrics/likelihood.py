"""Items of the perplexity family: a text's log-likelihood with the unit it is spread over.

"Prediction" is the log-probability of the whole text, natural logarithm; "reference" is the text.
"""

from __future__ import annotations

import re

from assay_runner.statistics.items import Item

_SPACE = re.compile(r"\s+")


def logprob(prediction: float, text: Item) -> float:
    """The log-probability itself."""
    return float(prediction)


def per_word(prediction: float, text: str) -> dict[str, float]:
    """With the number of words: pieces between runs of white space, as lm-evaluation-harness counts them."""
    return {"logprob": float(prediction), "words": len(_SPACE.split(text))}


def per_byte(prediction: float, text: str) -> dict[str, float]:
    """With the number of bytes in UTF-8."""
    return {"logprob": float(prediction), "bytes": len(text.encode())}
