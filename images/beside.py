"""Prints constraints for installing beside what an image already has: every installed package at its release, so that none is
moved, and for the others the releases of constraints.txt."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def beside(installed: str, constraints: str) -> list[str]:
    """Both are lists of `name==version`, as pip prints them; names that differ only in spelling are the same."""
    pins = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower(): line
        for text in (constraints, installed)
        for line in text.splitlines()
        if "==" in line and not line.startswith("#")
    }
    return sorted(pins.values())


if __name__ == "__main__":
    listed = [sys.executable, "-m", "pip", "list", "--format", "freeze"]
    installed = subprocess.run(listed, check=True, capture_output=True, text=True).stdout  # noqa: S603 - pip
    print("\n".join(beside(installed, Path("constraints.txt").read_text())))
