"""Writes the dashboards' JSON into the chart."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from charts.dashboards.fleet import fleet
from charts.dashboards.job import job

FOLDER = Path(__file__).parents[1] / "assay" / "files" / "dashboards"


def rendered() -> dict[str, str]:
    """File name → text."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    made = {"fleet.json": fleet().build(), "job.json": job().build()}
    for board in made.values():
        for number, panel in enumerate(board.panels or (), 1):
            panel.id_val = number
    return {name: encoder.encode(board) + "\n" for name, board in made.items()}


if __name__ == "__main__":
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)
