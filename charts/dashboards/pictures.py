"""Draws the dashboards as they look over a run, without Grafana: the same JSON, its queries asked of a Prometheus.

`python -m charts.dashboards.pictures --prometheus http://127.0.0.1:9090 --start 1795771918 --end 1795772118 --namespace research
--evaljob easy-vqa docs/pictures` writes `fleet.png` and `job.png` to that folder. Times are seconds since 1970.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from PIL import Image

from charts.dashboards.__main__ import FOLDER

_UNIT = 0.62, 0.36
"""Inches of a grid cell."""
_GAP = 0.1
_POINTS = 150
"""Of a line."""
_INK, _PALE, _EDGE = "#24292f", "#6e7781", "#d8dee4"
_COLOURS = ("#3f7fbf", "#e08a1e", "#4a9d4a", "#c44e52", "#8172b2", "#937860", "#da8bc3", "#8c8c8c")
_RC: Any = {"font.size": 8, "text.color": _INK, "axes.edgecolor": _EDGE, "xtick.color": _PALE, "ytick.color": _PALE}
_LONGEST, _ROWS, _END, _LINE = 26, 10, 11, 66
"""Characters of a label and lines of a table that are shown; characters of the end of a long name, and of a legend's line."""


@dataclass(frozen=True)
class Span:
    """What is shown, in seconds since 1970."""

    start: float
    end: float

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return max(1, round((self.end - self.start) / _POINTS))


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend, its labels, and (seconds, value) where there is one."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


Ask = Callable[[str], Sequence[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]]
"""Expression → labels and points of what it finds over the span."""


def asking(url: str, span: Span, variables: Mapping[str, str]) -> Ask:
    """Ask the Prometheus at `url`, with the variables of the dashboards set."""

    def ask(expression: str) -> Sequence[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]:
        values = {"__rate_interval": f"{max(5, 2 * span.step)}s", **variables}
        query = re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)
        asked = {"query": query, "start": span.start, "end": span.end, "step": span.step}
        address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - the address is the user's own
            found = json.load(answer)["data"]["result"]
        return [(row["metric"], [(at, float(value)) for at, value in row["values"]]) for row in found]

    return ask


def draw(board: Mapping[str, Any], ask: Ask, span: Span) -> Figure:
    """The dashboard `board`, as JSON has it, over the span."""
    panels = board["panels"]
    deep = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    wide, high = 24 * _UNIT[0], deep * _UNIT[1]
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(wide, high), facecolor="#f6f8fa")
        for panel in panels:
            place = panel["gridPos"]
            left, top = place["x"] * _UNIT[0] + _GAP / 2, place["y"] * _UNIT[1] + _GAP / 2
            width, height = place["w"] * _UNIT[0] - _GAP, place["h"] * _UNIT[1] - _GAP
            box = (left / wide, 1 - (top + height) / high, width / wide, height / high)
            if panel["type"] == "row":
                figure.text(box[0], box[1] + box[3] / 2, panel["title"], fontsize=11, weight="bold", va="center")
            else:
                _draw_panel(figure, box, height, panel, _series(panel, ask, span), span)
    return figure


def _series(panel: Mapping[str, Any], ask: Ask, span: Span) -> list[list[Series]]:
    """What each query of the panel finds; of one that asks as of now, what there is at the end."""
    found = []
    for target in panel["targets"]:
        legend, latest = (
            target.get("legendFormat", ""),
            span.end - 2 * span.step if target.get("instant") else span.start,
        )
        lines = [Series(_named(legend, labels), labels, points) for labels, points in ask(target["expr"])]
        found.append([line for line in lines if line.points[-1][0] >= latest])
    return found


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip()


def _draw_panel(
    figure: Figure,
    box: tuple[float, float, float, float],
    inches: float,
    panel: Mapping[str, Any],
    found: list[list[Series]],
    span: Span,
) -> None:
    frame = figure.add_axes(box, facecolor="white")
    frame.set_xticks([])
    frame.set_yticks([])
    head = 0.24 / inches
    frame.text(0.02, 1 - head / 2, panel["title"], weight="bold", va="center", transform=frame.transAxes)
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
    if panel["type"] == "stat":
        frame.text(0.5, 0.42, _latest(panel, found, unit), fontsize=17, ha="center", va="center")
    elif panel["type"] == "table":
        _draw_table(frame, head, inches, panel, found)
    else:
        foot = 0.42 / inches
        x, y, w, h = box
        inner = figure.add_axes((x + 0.09 * w, y + foot * h, w * 0.88, h * (1 - head - foot - 0.04)))
        _draw_lines(inner, panel, [line for lines in found for line in lines], unit, span)


def _latest(panel: Mapping[str, Any], found: list[list[Series]], unit: str) -> str:
    lines = [line for lines in found for line in lines]
    if panel.get("options", {}).get("textMode") == "name":
        return ", ".join(line.name for line in lines) or "–"
    values = [line.points[-1][1] for line in lines]
    return _written(values[-1], unit) if values else "–"


def _draw_lines(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Series], unit: str, span: Span) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    times = [span.start + n * span.step for n in range(int((span.end - span.start) // span.step) + 1)]
    floor = [0.0] * len(times)
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        known = {round((at - span.start) / span.step): value for at, value in line.points}
        values = [known.get(place, math.nan) for place in range(len(times))]
        if stacked:
            upper = [low + (0.0 if math.isnan(value) else value) for low, value in zip(floor, values, strict=True)]
            axes.fill_between(times, floor, upper, color=colour, alpha=0.35, linewidth=0)
            axes.plot(times, upper, color=colour, linewidth=0.8, label=line.name)
            floor = upper
        else:
            axes.plot(times, values, color=colour, linewidth=1.3, label=line.name)
    axes.set_xlim(span.start, span.end)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1e-3) if lines else 1)
    axes.grid(color=_EDGE, linewidth=0.5)
    axes.tick_params(length=0, labelsize=7)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _written(value, unit)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: f"{int(at - span.start) // 60}:{int(at - span.start) % 60:02}")
    )
    axes.xaxis.set_major_locator(FixedLocator([span.start + n * _tick(span) for n in range(50)]))
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not lines:
        axes.text(0.5, 0.5, "nothing", color=_PALE, ha="center", transform=axes.transAxes)
    elif any(line.name for line in lines):
        _draw_legend(axes)


def _draw_legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    names = [name if len(name) <= _LONGEST else f"…{name[-_END:]}" for name in names]
    columns = max(1, min(5, _LINE // (max(map(len, names)) + 4)))
    shown = slice(0, 2 * columns)
    axes.legend(
        handles[shown], names[shown], loc="upper left", bbox_to_anchor=(-0.06, -0.1), ncols=columns, fontsize=6.5,
        frameon=False, handlelength=1, columnspacing=1, borderpad=0,
    )  # fmt: skip


def _draw_table(frame: Axes, head: float, inches: float, panel: Mapping[str, Any], found: list[list[Series]]) -> None:
    transformations = {each["id"]: each["options"] for each in panel["transformations"]}
    columns = list(transformations["organize"]["renameByName"].values())
    merged: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for column, lines in zip(columns, found, strict=True):
        for line in lines:
            merged.setdefault(tuple(sorted(line.labels.items())), {})[column] = line.points[-1][1]
    names = sorted({name for labels in merged for name, _ in labels})
    table = [[*names, *columns]]
    for labels, values in merged.items():
        told = dict(labels)
        numbers = (_written(values.get(column), "short") for column in columns)
        table.append([*(told.get(name, "")[:_LONGEST] for name in names), *numbers])
    for row, cells in enumerate(table[:_ROWS]):
        y = 1 - head - (row + 0.7) * 0.2 / inches
        weight, colour = ("normal", _INK) if row else ("bold", _PALE)
        for place, cell in enumerate(cells):
            x = 0.02 + 0.97 * place / len(cells)
            frame.text(x, y, cell, fontsize=7, transform=frame.transAxes, weight=weight, color=colour)
    if not merged:
        frame.text(0.5, 0.4, "nothing", color=_PALE, ha="center", transform=frame.transAxes)


def _written(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:.4g}"


def _tick(span: Span) -> int:
    return next(step for step in (15, 30, 60, 120, 300, 600, 10**9) if (span.end - span.start) / step <= 8)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(prog="python -m charts.dashboards.pictures", description=__doc__)
    parser.add_argument("--prometheus", required=True, help="address of the server")
    parser.add_argument("--start", type=float, required=True)
    parser.add_argument("--end", type=float, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--evaljob", required=True)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    span = Span(options.start, options.end)
    ask = asking(options.prometheus, span, {"namespace": options.namespace, "evaljob": options.evaljob})
    for path in sorted(FOLDER.glob("*.json")):
        picture = options.folder / f"{path.stem}.png"
        draw(json.loads(path.read_text()), ask, span).savefig(picture, dpi=90)
        # Flat colours: a palette is a quarter of the size.
        Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main()
