"""Arithmetic with one answer on every machine: correctly rounded sums, exponentials and logarithms.

`math.exp` and `math.log` come from the C library, which picks other code for other processors and may differ in the
last bit; `decimal` computes in integers. `math.fsum` rounds the true sum once, so the order of its terms does not
matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DIGITS = Context(prec=40)
"""Enough digits that rounding to a float afterwards gives the correctly rounded result but in one case in 10²³."""
_BLOCK = 4096
_FEW = 256
_LARGEST_EXPONENT, _SMALLEST_EXPONENT = 709.782712893384, -745.2


def exp(x: float) -> float:
    """eˣ; infinite where a float cannot hold it."""
    if x > _LARGEST_EXPONENT:
        return math.inf
    return 0.0 if x < _SMALLEST_EXPONENT else float(_DIGITS.exp(Decimal(x)))


def log(x: float) -> float:
    """The natural logarithm of x > 0.

    Raises:
        ValueError: x is not positive.
    """
    if not x > 0:
        raise ValueError(f"no logarithm of {x}")
    return float(_DIGITS.ln(Decimal(x)))


def total(values: NDArray[np.float64]) -> float:
    """The correctly rounded sum of an array's finite numbers, taken out of it a few at a time.

    Scores often have few different values: these are counted, which is ten times as fast, and their multiples added up in
    fractions, which gives the same number.
    """
    import numpy as np

    if len(values) > _BLOCK and len(np.unique(values[:_BLOCK])) <= _FEW:
        different, counts = np.unique(values, return_counts=True)
        if len(different) <= _BLOCK:
            return float(
                sum(Fraction(value) * count for value, count in zip(different.tolist(), counts.tolist(), strict=True))
            )
    return math.fsum(chain.from_iterable(_blocks(values)))


def mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The arithmetic mean of at least one value: the correctly rounded sum, divided once."""
    return (math.fsum(values) if isinstance(values, Sequence) else total(values)) / len(values)


def ratio(numerator: float, denominator: float) -> float | None:
    """The quotient, or None where the denominator is 0."""
    return numerator / denominator if denominator else None


def _blocks(values: NDArray[np.float64]) -> Iterator[list[float]]:
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK].tolist()
