"""Numbers of a page as text, and the round numbers that an axis is marked with."""

from __future__ import annotations

import math

_UNITS = ((3600.0, "h", 3 * 3600.0), (60.0, "min", 180.0), (1.0, "s", 1.0), (1e-3, "ms", 0.0))
"""Seconds, name, and from how many seconds on a time axis uses it."""
_STEPS = (0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds that the marks of a time axis may be apart."""


def number(value: float | None) -> str:
    """Four decimals, or four digits where these would hide the number; a dash for what has no value."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}"
    return f"{value:,.4f}"


def seconds(value: float | None) -> str:
    """A time in the unit that shows three digits of it."""
    if value is None:
        return "–"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
        if value < limit:
            return f"{_three(value * factor)} {unit}"
    return f"{_three(value / 3600)} h"


def tick(text: str) -> str:
    """A number with its unit, without zeros that say nothing."""
    figure, space, unit = text.partition(" ")
    return f"{figure.rstrip('0').rstrip('.') if '.' in figure else figure}{space}{unit}"


def rate(value: float) -> str:
    """A number per second, with three digits."""
    return _three(value)


def size(count: int) -> str:
    """Bytes, in binary units."""
    for power, unit in enumerate(("bytes", "KiB", "MiB")):
        if count < 1024 ** (power + 1):
            return f"{count:,} bytes" if not power else f"{_three(count / 1024**power)} {unit}"
    return f"{_three(count / 1024**3)} GiB"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at most `most` + 1 of them."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def times(high: float, most: int = 6) -> list[tuple[float, str]]:
    """Round times from 0 to `high` seconds with their texts, all in one unit."""
    factor, unit = next((factor, unit) for factor, unit, least in _UNITS if high >= least)
    step = next((step for step in _STEPS if step * most >= high), None)
    if step is None or unit == "ms":
        marks = [at * factor for at in ticks(0, high / factor, most)]
    else:
        marks = [place * step for place in range(math.floor(high / step + 1e-9) + 1)]
    return [(at, f"{at / factor:,.6g} {unit}" if at else "0") for at in marks]


def powers(low: float, high: float) -> list[float]:
    """Multiples of the powers of ten within [low, high]: all, or 1, 2 and 5, or the powers alone, to be eight at most."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in (range(1, 10), (1, 2, 5), (1,)):
        found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= 8:
            break
    return found


def _three(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
