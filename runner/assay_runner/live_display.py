"""Where `assay run` and the commands for clusters show how it is going: a picture that is drawn anew at a terminal, or lines.

What is said goes to stderr; stdout is for results.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class LiveDisplay:
    """A picture with lines that stay above it; without a terminal, the lines alone."""

    def __init__(self, *, live: bool) -> None:
        self._wants_live = live
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._wants_live:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def is_live(self) -> bool:
        """Whether there is a picture to draw."""
        return self._live is not None

    def draw(self, picture: RenderableType) -> None:
        """Replace the picture."""
        if self._live:
            self._live.update(picture)

    def note(self, text: str) -> None:
        """Say something once, as it is."""
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)
