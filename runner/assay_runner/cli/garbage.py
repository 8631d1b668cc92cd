"""How the commands that make many small objects have Python look for garbage: seldom, and never among what lives from
the start. By its defaults it looks after every 700 new objects, and through everything again and again."""

from __future__ import annotations

import gc

_OBJECTS = 50_000
"""New objects after which cycles among them are looked for."""


def seldom() -> None:
    """From now on, when everything is loaded."""
    gc.freeze()
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
