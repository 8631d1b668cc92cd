"""`assay tasks`: what can be evaluated."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from assay_api.errors import EXIT_DONE, SpecError
from assay_runner.tasks.catalogue import Catalogue


def tasks(options: argparse.Namespace) -> int:
    """List tasks and groups, shipped and from the named folders.

    Raises:
        SpecError: a folder does not exist.
    """
    folders = [Path(source) for source in options.source]
    for folder in folders:
        if not folder.is_dir():
            raise SpecError(str(folder), "--source", "there is no such folder", "name a folder with task files")
    rows = Catalogue(folders).describe()
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return EXIT_DONE
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    columns = ("name", "kind", "modality", "output", "dataset", "description")
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(str(row.get(name) or "") for name in columns))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return EXIT_DONE
