"""The dashboards ask for what is exported, and each panel says what it shows."""

import re

import pytest

from charts.dashboards.pictures import Span, draw
from support.dashboards import BOARDS, board, panels, queries
from support.exported import exported

TARGETS = {"namespace", "pod", "evaljob", "le"}
"""Labels that Prometheus gives to series, and that of histograms."""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("query", queries(), ids=str)
def test_a_query_names_only_metrics_and_labels_that_exist(metrics, query):
    names = re.findall(r"\bassay_[a-z_]+", query.expression)
    assert names and {re.sub(r"_(bucket|count|sum)$", "", name) for name in names} <= metrics.keys()
    labels = TARGETS | {label for _, each in metrics.values() for label in each}
    used = re.findall(r"(\w+)[!=]=?~?\"", query.expression)
    for group in re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", query.expression):
        used += filter(None, group.split(", "))
    used += re.findall(r"\{\{(\w+)\}\}", query.legend)
    assert set(used) <= labels


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_titles_and_a_place_of_their_own(name):
    shown = list(panels(board(name)))
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in shown]
    assert len(set(places)) == len(places) and all(
        panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in shown
    )
    titles = [panel["title"] for panel in shown]
    assert len({panel["id"] for panel in shown}) == len(shown) > 15 and all(titles)
    assert all(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in shown)


@pytest.mark.parametrize("name", BOARDS)
def test_what_a_query_leaves_open_is_a_variable_of_its_dashboard(name):
    variables = {each["name"] for each in board(name)["templating"]["list"]}
    used = {
        word
        for panel in panels(board(name))
        for target in panel["targets"]
        for word in re.findall(r"\$\{?(\w+)", target["expr"])
    }
    assert used - {"__rate_interval"} == variables - {"datasource"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_picture_shows_every_panel_with_what_its_queries_find(name):
    asked = []

    def ask(expression):
        asked.append(expression)
        labels = {"phase": "Running", "namespace": "research", "evaljob": "qwen", "pod": "qwen-0"}
        return [(labels, [(at, 1000.5 + at) for at in range(100)])]

    figure = draw(board(name), ask, Span(0, 100))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    shown = list(panels(board(name)))
    assert {panel["title"] for panel in shown} <= set(texts)
    assert len(asked) == sum(len(panel["targets"]) for panel in shown)
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == sum(len(panel["targets"]) for panel in shown if panel["type"] == "timeseries")
    assert all(max(line.get_ydata()[:100]) >= 1099.5 for line in lines)
    assert "1100" in texts, "a table or a number"
