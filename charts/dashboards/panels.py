"""What all panels have in common: the data source, how they look, how a query is written."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Of the grid."""

Panel = timeseries.Panel | stat.Panel | table.Panel
Queries = Mapping[str, str]
"""Legend → expression; `{{label}}` in a legend is the label's value."""


def board(title: str, uid: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard with a choice of data source."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["assay"])
        .readonly()
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def choice(name: str, label: str, values: str, *, several: bool) -> dashboard.QueryVariable:
    """A variable with the values that a query finds; with `several` of them, or all."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": values, "refId": "A"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    if several:
        variable = variable.multi(True).include_all(True).all_value(".*")
        variable = variable.current(VariableOption(selected=True, text="All", value="$__all"))
    return variable


def graph(title: str, says: str, queries: Queries, unit: str = "short", *, stacked: bool = False) -> timeseries.Panel:
    """Lines over time, a third of the width."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(7)
        .span(WIDTH // 3)
        .line_width(2 if not stacked else 1)
        .fill_opacity(30 if stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .legend(legend.show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for place, (name, expression) in enumerate(queries.items()):
        query = prometheus.Dataquery().ref_id(letter(place)).expr(expression).legend_format(name).range()
        panel = panel.with_target(query)
    return panel


def number(title: str, says: str, expression: str, unit: str = "short", *, now: bool = False) -> stat.Panel:
    """The latest value of the time that is shown, or the one of `now`."""
    query = prometheus.Dataquery().ref_id("A").expr(expression)
    return _stat(title, says).unit(unit).with_target(query.instant() if now else query.range())


def word(title: str, says: str, expression: str, label: str) -> stat.Panel:
    """The value of a label, as of now."""
    query = prometheus.Dataquery().ref_id("A").expr(expression).legend_format(f"{{{{{label}}}}}").instant()
    return _stat(title, says).text_mode(BigValueTextMode.NAME).with_target(query)


def _stat(title: str, says: str) -> stat.Panel:
    panel = stat.Panel().title(title).description(says).datasource(SOURCE).height(4).span(WIDTH // 6)
    panel = panel.color_mode(BigValueColorMode.NONE).graph_mode(BigValueGraphMode.NONE)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))


def rows(title: str, says: str, columns: Queries, *, width: int) -> table.Panel:
    """A table as of now: one row for each combination of labels, one column for each query."""
    names = {f"Value #{letter(n)}" if len(columns) > 1 else "Value": name for n, name in enumerate(columns)}
    panel = table.Panel().title(title).description(says).datasource(SOURCE).height(8).span(width)
    for n, expression in enumerate(columns.values()):
        query = prometheus.Dataquery().ref_id(letter(n)).expr(expression).instant().format(PromQueryFormat.TABLE)
        panel = panel.with_target(query)
    if len(columns) > 1:
        panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    organized = {"excludeByName": {"Time": True}, "renameByName": names}
    return panel.with_transformation(DataTransformerConfig(id_val="organize", options=organized))


def letter(number: int) -> str:
    """The name of a panel's query."""
    return chr(ord("A") + number)
