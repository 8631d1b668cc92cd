"""How long a store insists: tries, pauses and seconds of one operation, all of them bounded.

Passing faults (5xx, throttling, timeouts, broken connections, cut answers) are tried again with full jitter (M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015), or as late as the server asks, within bounds. A socket's timeout
bounds a silence; what bounds a server that drips is a limit on each try as a whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from assay_runner.store.base import StoreDenied, StoreUnavailable
from assay_runner.store.s3_faults import REQUEST_ERRORS, Fault, Kind, TookTooLong, understand

T = TypeVar("T")
Faults = list[Fault]

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 16.0
_LONGEST_WISH = 60.0
"""Seconds of a Retry-After that are granted."""
_AT_LEAST = 2
"""Tries, however long the first one took."""


@dataclass(frozen=True, slots=True)
class Tries:
    """The bounds of one operation. Times in seconds."""

    most: int = 10
    """Requests, the first included."""
    patience: float = 180.0
    """After so long no further request is begun."""
    answer: float = 90.0
    """For one request as a whole, besides what its bytes take; it holds a connection's timeout and a read's."""
    slowest: float = float(64 << 10)
    """Bytes per second below which a transfer is given up."""
    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    """A number in [0, 1) at random."""
    clock: Callable[[], float] = time.monotonic

    def within(self, size: int, call: Callable[[], T]) -> T:
        """The answer of `call`, which moves `size` bytes.

        It runs in a thread of its own, which is left behind when it takes too long: nothing ends a read that gets a byte now
        and then. So `call` must not change what the next try uses.

        Raises:
            TookTooLong: there is no answer in time.
        """
        box: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                box.put((call(), None))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
                box.put((None, error))

        seconds = self.answer + size / self.slowest
        Thread(target=run, name="store-request", daemon=True).start()
        try:
            answer, error = box.get(timeout=seconds)
        except Empty:
            raise TookTooLong(seconds) from None
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def insist(
        self, request: Callable[[], T], failure: str, *, conditional: bool = False, faults: Faults | None = None
    ) -> T:
        """Make the request until it has an answer.

        Args:
            failure: what could not be done, where and by which server; the beginning of the last word.
            conditional: whether a 412 is an answer; to a request without a condition it is a fault.
            faults: receives what passed meanwhile.

        Raises:
            StoreDenied: the server refused; `AlreadyThere` and `NotThere` say what it said of the object.
            StoreUnavailable: no answer within the bounds.
        """
        begun, number = self.clock(), 0
        while True:
            try:
                return request()
            except REQUEST_ERRORS as error:
                fault = understand(error)
                passing = fault.kind is Kind.PASSING or (fault.kind is Kind.EXISTS and not conditional)
                if not passing:
                    raise _LAST_WORDS[fault.kind](f"{failure}: {fault.clause}.") from error
            number += 1
            if faults is not None:
                faults.append(fault)
            pause = self.pause_after(number, fault.wish)
            spent = self.clock() - begun
            if number >= self.most or (number >= _AT_LEAST and spent + pause > self.patience):
                raise StoreUnavailable(f"{failure}: {fault.clause} ({number} tries in {spent:.0f} s); {fault.remedy}.")
            self.pause(pause)

    def pause_after(self, number: int, wish: float | None = None) -> float:
        """Seconds between try `number`, from 1, and the next; `wish` is what the server asks for."""
        spread: float = self.jitter() * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (number - 1))
        return spread if wish is None else min(_LONGEST_WISH, wish) + spread


class AlreadyThere(StoreDenied):
    """The condition of a conditional request did not hold."""


class NotThere(StoreDenied):
    """The server knows no such object."""


class Unsupported(StoreDenied):
    """The server does not know this kind of request, or its condition."""


_LAST_WORDS = {
    Kind.EXISTS: AlreadyThere,
    Kind.MISSING: NotThere,
    Kind.UNSUPPORTED: Unsupported,
    Kind.DENIED: StoreDenied,
}
