"""Every reason that a person can meet is explained, and nothing is explained that does not exist."""

import re
from pathlib import Path

from assay_api import errors

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operator.md").read_text()
SCHEDULES = (ROOT / "docs" / "schedules.md").read_text()
CODE = "\n".join(path.read_text() for path in (ROOT / "operator" / "assay_operator").rglob("*.py"))
RUNNER = "\n".join(
    (ROOT / "runner" / "assay_runner" / place / "base.py").read_text() for place in ("store", "backends")
)


def section(title: str, page: str = PAGE) -> str:
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def explained() -> set[str]:
    lines = [line for page in (PAGE, SCHEDULES) for line in section("Reasons", page).splitlines()]
    rows = [line for line in lines if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}


def test_every_reason_that_the_operator_gives_is_explained():
    given = set(re.findall(r'\b(?:Trouble|Refusal)\(\s*f?"([A-Z]\w+)"|"OnTime", "False", "([A-Z]\w+)"', CODE))
    given = {name for pair in given for name in pair if name}
    assert len(given) > 15
    assert given <= explained()


def test_every_reason_that_is_explained_exists():
    classes = {name for name in vars(errors) if name[0].isupper()} | set(
        re.findall(r"^class (\w+)", RUNNER, re.MULTILINE)
    )
    composed = {"SecretMissing", "SecretKeyMissing", "ConfigMapMissing", "TaskCodeNotAllowed", "RemoteCodeNotAllowed"}
    assert {name for name in explained() if f'"{name}"' not in CODE} <= classes | composed
