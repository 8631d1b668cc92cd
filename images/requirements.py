"""Prints what pyproject.toml asks for, one requirement a line, so that an image installs its dependencies in a layer that a
change of code leaves alone, and no list of them is kept twice.

`requirements.py operator` prints that extra alone; `requirements.py --base openai media` the project's own dependencies too.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: Iterable[str], *, base: bool) -> list[str]:
    """The requirements of `extras`, those that they take from other extras of the project included."""
    found = set(project["dependencies"]) if base else set()
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{re.escape(project['name'])}\[([\w,-]+)\]", line)
            found |= set(requirements(project, own[1].split(","), base=False)) if own else {line}
    return sorted(found)


def main(arguments: Sequence[str]) -> None:
    """Print them."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = [name for name in arguments if name != "--base"]
    print("\n".join(requirements(project, extras, base="--base" in arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
