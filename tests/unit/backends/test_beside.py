"""A server beside the worker is awaited, told of and checked before anything is asked of it; on a clock that jumps."""

import asyncio

import pytest

from assay_api.errors import SpecError
from assay_runner.backends.base import BackendFailed
from assay_runner.backends.beside import BesideBackend, Patience
from assay_runner.backends.http_client import Reply
from support.runs import AnsweringBackend
from support.simulated_endpoint import SimulatedServer, answer, refused
from support.virtual_time import run


class Loading(SimulatedServer):
    """A server whose health is looked at: refused, then 503, and well after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(shown="http://127.0.0.1:8000")
        self.paths: list[str] = []
        self._seconds = seconds
        self.models = self._health

    async def exchange(
        self, method: str, path: str, body: bytes | None = None, *, seconds: float | None = None
    ) -> Reply:
        self.paths.append(path)
        return await super().exchange(method, path, body, seconds=seconds)

    def _health(self) -> Reply | Exception:
        waited = self.now - 1000
        if waited < self._seconds / 2:
            return refused()
        return answer(503) if waited < self._seconds else answer(200)


async def fine() -> None:
    """A check that finds nothing."""


def beside(server, *, seconds=1800.0, check=fine, opened=AnsweringBackend):
    loop = asyncio.get_running_loop()
    patience = Patience("/health", seconds)
    return BesideBackend(server, patience, check=check, opened=opened, clock=loop.time, sleep=asyncio.sleep)


def test_a_server_that_loads_for_twenty_minutes_is_waited_for_and_the_wait_is_told():
    troubles = []

    async def scene():
        server = Loading(1200)
        backend = beside(server)
        starting = asyncio.create_task(backend.start())
        for moment in (1, 300, 899):
            await asyncio.sleep(moment)
            troubles.append(backend.trouble)
        await starting
        troubles.append(backend.trouble)
        assert set(server.paths) == {"health"}
        await backend.close()

    run(scene())
    assert troubles[0] == troubles[3] == ""
    assert "waiting for the server beside this worker to be ready, for 301 s" in troubles[1]
    assert "Connection refused" in troubles[1] and "HTTP 503" in troubles[2]


def test_a_server_that_is_not_ready_in_its_time_ends_the_worker_with_what_it_last_said():
    async def scene():
        await beside(Loading(7200), seconds=600).start()

    with pytest.raises(
        BackendFailed, match=r"was not ready in 60\d s \(http://127\.0\.0\.1:8000/health: .*Connection refused\)"
    ):
        run(scene())


def test_nothing_is_asked_of_a_server_that_cannot_do_the_job():
    async def wrong() -> None:
        raise SpecError("manifest", "spec.model.name", "the server serves no model m", "it serves: n")

    async def scene():
        opened = []
        backend = beside(Loading(3), check=wrong, opened=lambda: opened.append(1) or AnsweringBackend())
        with pytest.raises(SpecError, match="serves no model m"):
            await backend.start()
        await backend.close()
        assert not opened

    run(scene())


def test_a_worker_that_is_stopped_while_it_waits_ends_at_once():
    async def scene():
        backend = beside(Loading(3600))
        starting = asyncio.create_task(backend.start())
        await asyncio.sleep(10)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await backend.close()
        assert asyncio.get_running_loop().time() < 1020

    run(scene())
