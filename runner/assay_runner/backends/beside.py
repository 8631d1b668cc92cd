"""The backend for a server that runs beside this worker, in its pod: awaits it, checks it, then asks it like any endpoint.

At planning there was no such server, so what an endpoint is asked then (whether it serves the model, and scores
continuations) this one is asked at the start. While the server loads its model nothing is wrong: the wait has a limit of
its own, and those who watch the run are told of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from assay_runner.backends.base import Backend, BackendFailed, Batch, Response
from assay_runner.backends.flow import Clock, Sleep
from assay_runner.backends.http_client import ExchangeError, Reply, UnreachableError
from assay_runner.backends.http_faults import excerpt

_LOOK_SECONDS = 15.0
_PAUSE = 1.0
_MOMENT = 2.0
"""Seconds of a wait that are not worth telling."""


class Asked(Protocol):
    """What looks at the server need of an `HttpClient`."""

    shown: str

    async def exchange(
        self, method: str, path: str, body: bytes | None = None, *, seconds: float | None = None
    ) -> Reply:
        """Send one request and read its answer."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """When the server is ready, and how long that may take."""

    path: str
    """Answered with HTTP 200 by a server that is ready."""
    seconds: float


class BesideBackend:
    """Answers requests through a server that is started with the worker."""

    def __init__(
        self,
        client: Asked,
        patience: Patience,
        *,
        check: Callable[[], Awaitable[None]],
        opened: Callable[[], Backend],
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        """`client` reaches the server's root; `check` refuses a server that cannot do this job; `opened` gives the backend
        that asks it, once it is ready."""
        self._client, self._patience, self._check, self._opened = client, patience, check, opened
        self._clock, self._sleep = clock, sleep
        self._backend: Backend | None = None
        self._began: float | None = None
        self._reason = ""

    @property
    def capacity(self) -> int:
        """Batches in flight that keep it busy."""
        return self._started.capacity

    @property
    def trouble(self) -> str:
        """That the server is waited for, since when and why; empty when it is not."""
        if self._backend is not None:
            return self._backend.trouble
        waited = 0.0 if self._began is None else self._clock() - self._began
        if waited < _MOMENT:
            return ""
        return f"waiting for the server beside this worker to be ready, for {waited:.0f} s so far ({self._reason})"

    async def start(self) -> None:
        """Wait until the server is ready, and see that it can do this job.

        Raises:
            SpecError: it serves another model, wants a key, or gives no log-likelihoods where they are wanted.
            BackendFailed: it is not ready in time.
        """
        self._began = self._clock()
        try:
            while not await self._ready():
                waited = self._clock() - self._began
                if waited >= self._patience.seconds:
                    raise BackendFailed(
                        f"The server beside this worker was not ready in {waited:.0f} s "
                        f"({self._client.shown}{self._patience.path}: {self._reason})."
                    )
                await self._sleep(_PAUSE)
        finally:
            await self._client.close()
        await self._check()
        self._backend = self._opened()
        await self._backend.start()

    def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer every request once, in the order in which answers come.

        Raises:
            BackendFailed: nothing can be answered any more.
        """
        return self._started.stream(batches)

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        await self._client.close()
        if self._backend is not None:
            await self._backend.close()

    @property
    def _started(self) -> Backend:
        assert self._backend is not None, "a backend is asked after its start"
        return self._backend

    async def _ready(self) -> bool:
        try:
            reply = await self._client.exchange("GET", self._patience.path.removeprefix("/"), seconds=_LOOK_SECONDS)
        except (UnreachableError, ExchangeError) as error:
            self._reason = str(error)
            return False
        said = excerpt(reply.body, None)
        self._reason = f"HTTP {reply.status}: {said}" if said else f"HTTP {reply.status}"
        return reply.status == 200
