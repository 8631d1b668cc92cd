"""An event loop whose clock jumps: minutes of waiting pass at once, in the order in which they would."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Instead of waiting, moves the clock on; what is ready already is answered as usual."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits for something that nobody will do")
        if not ready and timeout:
            self.now += timeout
        return ready


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock of its own."""
    selector = _Jump()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(scenario)
    finally:
        loop.close()
