"""Charts are well-formed trees whose texts are text, and axes have round marks."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from assay_api.results import Histogram, Interval, Percentiles, Timeline
from assay_runner.report import charts
from assay_runner.report.axis import number, powers, seconds, size, tick, ticks, times


def test_a_chart_says_what_it_shows_and_a_name_cannot_be_markup():
    svg = charts.interval(0.5, 0.4, 0.6, (0, 1), charts.said("<img src=x>", 0.5, 0.4, 0.6))
    assert "<img" not in svg
    root = ET.fromstring(svg)
    assert root.get("role") == "img" and root.get("aria-label") == "<img src=x>: 0.5000, 95 % interval 0.4000 to 0.6000"
    assert root.find("circle").get("cx") == "100"


def test_a_few_failures_among_many_can_be_seen():
    rects = ET.fromstring(charts.shares([("scored", "scored", 999_999), ("failed", "errors", 1)], "x")).findall("rect")
    assert float(rects[1].get("width")) >= 2 and float(rects[1].get("x")) + 2 <= 400


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(1e-3, 1e6))
def test_a_timeline_of_any_length_is_drawn_within_its_frame(rates, step):
    took = Percentiles(p50=0.1, p90=0.2, p99=0.3, max=1)
    line = Timeline(
        start=0,
        seconds=step,
        intervals=tuple(Interval(samples=n, errors=0, tokens_out=0, latency=took if n else None) for n in rates),
    )
    for svg in (charts.throughput(line), charts.latency(line)):
        if svg is None:
            assert not any(rates)
            continue
        for rect in ET.fromstring(svg).iter("rect"):
            assert float(rect.get("height")) >= 0 and 0 <= float(rect.get("x")) <= 640


def test_a_histogram_has_a_bar_per_class_and_its_percentiles():
    found = Histogram(edges=(0.1, 1, 10), counts=(3, 1))
    root = ET.fromstring(charts.histogram(found, Percentiles(p50=0.5, p90=5, p99=9, max=10)))
    assert [rect.find("title").text for rect in root.findall("rect")] == [
        "100 ms to 1.00 s: 3 samples",
        "1.00 s to 10.0 s: 1 samples",
    ]
    assert len([line for line in root.findall("line") if "mark" in line.get("class")]) == 3


def test_numbers_are_written_with_as_many_digits_as_help():
    assert [number(value) for value in (None, 0.0, 0.99938, 123.4, 1e-5, 12345678.0)] == [
        "–",
        "0.0000",
        "0.9994",
        "123.4000",
        "1e-05",
        "1.235e+07",
    ]
    assert [seconds(value) for value in (5e-6, 0.0123, 1.5, 90, 300, 7300)] == [
        "5.00 µs",
        "12.3 ms",
        "1.50 s",
        "90.0 s",
        "5.00 min",
        "2.03 h",
    ]
    assert [size(value) for value in (12, 2048, 5 << 20)] == ["12 bytes", "2.00 KiB", "5.00 MiB"]
    assert [tick(text) for text in ("10.0 s", "1.50 s", "100", "0.10")] == ["10 s", "1.5 s", "100", "0.1"]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_within_their_axis(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 7 and all(low - 1e-6 * width <= at <= low + width * (1 + 1e-6) for at in found)


def test_a_logarithmic_axis_has_a_handful_of_marks():
    assert powers(0.4, 1.9) == [0.4, 0.5, 0.6000000000000001, 0.7000000000000001, 0.8, 0.9, 1.0]
    assert powers(1, 1e6) == [10.0**n for n in range(7)]


def test_the_marks_of_a_time_axis_are_round_and_of_one_unit():
    assert [text for _, text in times(275)] == ["0", "1 min", "2 min", "3 min", "4 min"]
    assert [text for _, text in times(32.8)] == ["0", "10 s", "20 s", "30 s"]
    assert [text for _, text in times(0.02)] == ["0", "5 ms", "10 ms", "15 ms", "20 ms"]
    assert [text for _, text in times(9 * 86400)][:2] == ["0", "50 h"]
    assert times(7200)[1] == (1800, "30 min")
