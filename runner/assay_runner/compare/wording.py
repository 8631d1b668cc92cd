"""How figures of a comparison are written in sentences: names, amounts with their unit, p-values, counts of questions."""

from __future__ import annotations

from assay_runner.compare.rows import Row


def score_name(about: str, metric: str, filtered: str) -> str:
    """A score as people name it: its task or group, its metric, and the filter when there is one."""
    return f"{about} {metric}" + ("" if filtered == "none" else f" ({filtered})")


def extent(n: int, clusters: int | None) -> str:
    """On how many questions something stands."""
    inside = f" in {clusters:,} clusters" if clusters is not None and clusters != n else ""
    return f"{questions(n)}{inside}"


def questions(n: int) -> str:
    """A number of questions."""
    return f"{n:,} question{'' if n == 1 else 's'}"


def p_text(p_value: float) -> str:
    """A p-value."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def amount(row: Row, value: float) -> str:
    """A difference with its unit: scores between 0 and 1 differ by points, hundredths."""
    text = number(row, value)
    return f"{text} point{'' if text in ('1', '1.0') else 's'}" if row.unit else text


def span(row: Row, low: float, high: float) -> str:
    """Two ends with their unit."""
    return f"{number(row, low)} and {number(row, high)}{' points' if row.unit else ''}"


def number(row: Row, value: float) -> str:
    """A difference without its unit."""
    text = _point_text(100 * value) if row.unit else f"{value:.4g}"
    return text.replace("-", "−")


def rounded(count: int) -> str:
    """Two significant digits: it is a forecast."""
    return f"{round(count, 2 - len(str(count))):,}"


def _point_text(points: float) -> str:
    """One decimal; two significant digits where that would be little."""
    return f"{points:.1f}" if abs(points) >= 0.995 or not points else f"{points:.2g}"
