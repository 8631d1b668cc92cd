"""Which documents of a pool stand as examples in front of a question: a function of the seed, the task and the document."""

from __future__ import annotations

from random import Random
from typing import Literal

from assay_runner.statistics.seeds import derive_seed

Sampler = Literal["default", "first_n"]


def choose(
    document: int, pool: int, count: int, sampler: Sampler, *, seed: int, task: str, same_split: bool
) -> list[int]:
    """Places in the pool of the examples for a document.

    Args:
        document: number of the document that is asked about.
        pool: size of the pool, at least `count` (one more with `same_split`).
        same_split: the pool is what is evaluated; the document itself is never its own example.
    """
    if sampler == "first_n":
        places = (place for place in range(pool) if not (same_split and place == document))
        return [place for place, _ in zip(places, range(count), strict=False)]
    random = Random(derive_seed(seed, task, str(document), "fewshot"))  # noqa: S311 - a reproducible choice
    drawn = random.sample(range(pool), min(pool, count + same_split))
    return [place for place in drawn if not (same_split and place == document)][:count]
