"""What a cron expression and the name of a time zone look like, as far as a pattern can tell.

The operator reads them with a library; this is what the API server refuses before, so that a typing error is answered at
once. Five fields and the usual abbreviations, no extensions: what one scheduler calls `L` or `#` another does not know.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Abbreviation → the five fields it stands for."""


def _field(values: str) -> str:
    """A list of values, ranges and `*`, each with a step where wanted."""
    item = rf"(\*|({values})(-({values}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


_MONTHS = "[Jj][Aa][Nn]|[Ff][Ee][Bb]|[Mm][Aa][Rr]|[Aa][Pp][Rr]|[Mm][Aa][Yy]|[Jj][Uu][Nn]|[Jj][Uu][Ll]|[Aa][Uu][Gg]|[Ss][Ee][Pp]"
_MONTHS += "|[Oo][Cc][Tt]|[Nn][Oo][Vv]|[Dd][Ee][Cc]"
_DAYS = "[Ss][Uu][Nn]|[Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]"
_FIELDS = " +".join(
    _field(values)
    for values in (
        "[0-5]?[0-9]",
        "[01]?[0-9]|2[0-3]",
        "0?[1-9]|[12][0-9]|3[01]",
        f"0?[1-9]|1[0-2]|{_MONTHS}",
        f"0?[0-7]|{_DAYS}",
    )
)

CronExpression = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(MACROS)}|{_FIELDS})$", min_length=1, max_length=256)
]
"""Minute, hour, day of month, month, day of week."""
ZoneName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64)]
"""Such as Europe/Berlin or Etc/UTC."""
