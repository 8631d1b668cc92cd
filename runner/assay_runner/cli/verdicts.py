"""Prints verdicts on gates: those of a run's gates.json, and those of a job's status."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

_WIDTH = 120


def print_verdicts(verdicts: Iterable[tuple[str, str, str]]) -> None:
    """A paragraph for each (gate, verdict, message)."""
    for name, verdict, message in verdicts:
        print(textwrap.fill(f"gate {name}: {verdict}. {message}", _WIDTH, subsequent_indent="  "))
