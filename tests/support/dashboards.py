"""The chart's dashboards as a Grafana reads them: every panel with its queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "charts" / "assay" / "files" / "dashboards"
BOARDS = sorted(path.stem for path in FOLDER.glob("*.json"))


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    legend: str
    expression: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} ({self.legend})"


def board(name: str) -> dict[str, Any]:
    """The dashboard `name`."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def queries() -> list[Query]:
    """Those of all panels."""
    return [
        Query(name, panel["title"], target.get("legendFormat", target["refId"]), target["expr"])
        for name in BOARDS
        for panel in panels(board(name))
        for target in panel["targets"]
    ]


def panels(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but the headings of rows."""
    for panel in made["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())
