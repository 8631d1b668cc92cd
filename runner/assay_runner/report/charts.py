"""The charts of a report as inline SVG, built as trees, so that no text in them can become markup.

Colours are classes of the page's style sheet: the charts follow its dark and light theme and need no style of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from assay_api.results import Histogram, Percentiles, Timeline
from assay_runner.report.axis import number, powers, rate, seconds, tick, ticks, times

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 24, 34


def interval(value: float, low: float | None, high: float | None, axis: tuple[float, float], said: str) -> Markup:
    """A value with its interval on an axis that its neighbours share."""
    svg = _svg(200, 22, said, "interval")
    start, stop = axis

    def x(at: float) -> str:
        return _n(6 + 188 * (min(max(at, start), stop) - start) / ((stop - start) or 1))

    _line(svg, "6", "11", "194", "11", "rail")
    for mark in (start, stop):
        _line(svg, x(mark), "7", x(mark), "15", "rail")
    if low is not None and high is not None:
        _line(svg, x(low), "11", x(high), "11", "whisker")
        for mark in (low, high):
            _line(svg, x(mark), "6", x(mark), "16", "whisker")
    SubElement(svg, "circle", {"cx": x(value), "cy": "11", "r": "4", "class": "point"})
    return _markup(svg)


def shares(parts: Sequence[tuple[str, str, int]], said: str) -> Markup:
    """A bar cut into (class, name, count)."""
    svg = _svg(400, 14, said, "shares")
    total, at = sum(count for *_, count in parts) or 1, 0.0
    for kind, name, count in parts:
        width = 400 * count / total
        # A handful of errors among a million samples must still be seen.
        box = {"x": _n(min(at, 398)), "y": "0", "width": _n(max(width, 2)), "height": "14", "class": kind}
        if count:
            _titled(SubElement(svg, "rect", box), f"{name}: {count:,} of {total:,}")
        at += width
    return _markup(svg)


def throughput(line: Timeline) -> Markup:
    """Samples per second over the time of a run."""
    rates = [one.samples / line.seconds for one in line.intervals]
    plot = _Plot.of("Samples per second over time", "samples/s", len(rates) * line.seconds, max(rates), rate)
    for place, value in enumerate(rates):
        left, right = plot.x(place * line.seconds), plot.x((place + 1) * line.seconds)
        top = plot.y(value)
        box = {"x": _n(left), "y": _n(top), "width": _n(right - left), "height": _n(plot.base - top), "class": "area"}
        _titled(SubElement(plot.svg, "rect", box), f"{plot.span(place, line.seconds)}: {rate(value)} samples/s")
    steps = [
        f"{_n(plot.x(at * line.seconds))},{_n(plot.y(value))}"
        for place, value in enumerate(rates)
        for at in (place, place + 1)
    ]
    SubElement(plot.svg, "polyline", {"points": " ".join(steps), "class": "line p50"})
    return _markup(plot.svg)


def latency(line: Timeline) -> Markup | None:
    """Percentiles of latency over the time of a run; None when no latency is known."""
    known = [(place, one.latency) for place, one in enumerate(line.intervals) if one.latency is not None]
    if not known:
        return None
    top = max(one.p99 for _, one in known)
    plot = _Plot.of("Latency over time", "latency", len(line.intervals) * line.seconds, top, seconds)
    for name, value in _PERCENTILES.items():
        points = [(plot.x((place + 0.5) * line.seconds), plot.y(value(one))) for place, one in known]
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        SubElement(plot.svg, "polyline", {"points": path, "class": f"line {name}"})
        for (x, y), (place, one) in zip(points, known, strict=True):
            dot = SubElement(plot.svg, "circle", {"cx": _n(x), "cy": _n(y), "r": "2.5", "class": f"dot {name}"})
            _titled(dot, f"{plot.span(place, line.seconds)}: {name} {seconds(value(one))}")
    _legend(plot.svg, list(_PERCENTILES))
    return _markup(plot.svg)


def histogram(found: Histogram, marks: Percentiles | None) -> Markup:
    """How often a latency was met, on a logarithmic axis, with its percentiles."""
    from math import log10

    low, high = log10(found.edges[0]), log10(found.edges[-1])
    if high - low < 0.05:
        low, high = low - 0.05, high + 0.05
    plot = _Plot.of(
        "Histogram of latency", "samples", high - low, max(found.counts), lambda value: f"{value:,.0f}", timed=False
    )
    for count, left, right in zip(found.counts, found.edges, found.edges[1:], strict=False):
        start, stop, top = plot.x(log10(left) - low), plot.x(log10(right) - low), plot.y(count)
        width = max(stop - start - 1, 1)
        box = {"x": _n(start), "y": _n(top), "width": _n(width), "height": _n(plot.base - top), "class": "bar"}
        _titled(SubElement(plot.svg, "rect", box), f"{seconds(left)} to {seconds(right)}: {count:,} samples")
    for value in powers(10**low, 10**high):
        plot.mark(log10(value) - low, tick(seconds(value)))
    for name, get in _PERCENTILES.items() if marks else ():
        assert marks is not None
        at = _n(plot.x(log10(max(get(marks), 10**low)) - low))
        _titled(_line(plot.svg, at, _n(_TOP), at, _n(plot.base), f"mark {name}"), f"{name}: {seconds(get(marks))}")
    if marks:
        _legend(plot.svg, list(_PERCENTILES))
    return _markup(plot.svg)


_PERCENTILES: dict[str, Callable[[Percentiles], float]] = {
    "p50": lambda found: found.p50,
    "p90": lambda found: found.p90,
    "p99": lambda found: found.p99,
}


@dataclass(frozen=True, slots=True)
class _Plot:
    """A frame with axes; x runs from 0 to `wide`, y from 0 to `high`, in the units of what is shown."""

    svg: Element
    wide: float
    high: float
    base: float = _HEIGHT - _BOTTOM

    @classmethod
    def of(
        cls,
        title: str,
        unit: str,
        wide: float,
        high: float,
        text: Callable[[float], str],
        *,
        timed: bool = True,
    ) -> _Plot:
        """`text` writes the marks of the y axis; those of the x axis are times, unless the caller sets its own."""
        plot = cls(_svg(_WIDTH, _HEIGHT, title, "plot"), wide or 1.0, high or 1.0)
        for value in ticks(0, plot.high, 4):
            y = _n(plot.y(value))
            _line(plot.svg, _n(_LEFT), y, _n(_WIDTH - _RIGHT), y, "grid")
            _text(plot.svg, _LEFT - 6, plot.y(value) + 4, tick(text(value)) if value else "0", "end")
        _text(plot.svg, 0, 12, unit, "start")
        for value, words in times(plot.wide) if timed else ():
            plot.mark(value, words)
        return plot

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.wide

    def y(self, value: float) -> float:
        return self.base - (self.base - _TOP) * value / self.high

    def mark(self, value: float, text: str) -> None:
        """A tick of the x axis."""
        x = self.x(value)
        _line(self.svg, _n(x), _n(self.base), _n(x), _n(self.base + 4), "grid")
        _text(self.svg, x, self.base + 18, text, "end" if x > _WIDTH - 40 else "middle")

    @staticmethod
    def span(place: int, step: float) -> str:
        return f"{seconds(place * step) if place else '0'} to {seconds((place + 1) * step)}"


def _legend(svg: Element, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        x = _LEFT + 24 + 64 * place
        _line(svg, _n(x), "8", _n(x + 22), "8", f"line {name}")
        _text(svg, x + 28, 12, name, "start")


def _svg(width: int, height: int, said: str, kind: str) -> Element:
    size = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    svg = Element("svg", size | {"role": "img", "class": kind, "aria-label": said})
    if kind == "shares":
        svg.set("preserveAspectRatio", "none")
    return svg


def _line(svg: Element, x1: str, y1: str, x2: str, y2: str, kind: str) -> Element:
    return SubElement(svg, "line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})


def _text(svg: Element, x: float, y: float, text: str, anchor: str) -> None:
    SubElement(svg, "text", {"x": _n(x), "y": _n(y), "text-anchor": anchor}).text = text


def _titled(element: Element, title: str) -> None:
    SubElement(element, "title").text = title


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _markup(svg: Element) -> Markup:
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - a serialised tree: its texts are escaped


def said(name: str, value: float, low: float | None, high: float | None) -> str:
    """An interval in words, for people who do not see it."""
    interval = "" if low is None or high is None else f", 95 % interval {number(low)} to {number(high)}"
    return f"{name}: {number(value)}{interval}"
