"""How requests are held back, on a clock that jumps."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.flow import Flow, jittered
from support.virtual_time import run


def make(limit: int = 4, **more) -> Flow:
    return Flow(limit, clock=asyncio.get_running_loop().time, sleep=asyncio.sleep, random=Random(1), **more)


@given(st.integers(0, 50), st.floats(1, 100), st.integers(0, 2**32))
def test_jitter_stays_between_its_floor_and_the_exponential_ceiling(step: int, longest: float, seed: int) -> None:
    assert 0.25 <= jittered(step, longest, Random(seed)) <= max(0.25, min(longest, 2.0**step))


async def _peak(flow: Flow, requests: int) -> int:
    inside = peak = 0

    async def one() -> None:
        nonlocal inside, peak
        ticket = await flow.admit()
        inside += 1
        peak = max(peak, inside)
        await asyncio.sleep(0.1)
        flow.good(ticket)
        inside -= 1
        flow.leave(ticket)

    await asyncio.gather(*(one() for _ in range(requests)))
    return peak


def test_no_more_are_in_flight_than_the_limit_and_all_get_in() -> None:
    async def scenario() -> int:
        return await _peak(make(limit=4), 40)

    assert run(scenario()) == 4


def test_a_share_that_shrinks_and_grows_is_kept_to_and_all_get_in() -> None:
    async def scenario() -> list[int]:
        share = [4]
        flow = make(limit=4, share=lambda: share[0])
        peaks = []
        for share[0] in (4, 1, 3, 9):
            peaks.append(await _peak(flow, 40))
        return peaks

    assert run(scenario()) == [4, 1, 3, 4]


def test_a_pause_holds_back_everybody_until_it_is_over() -> None:
    async def scenario() -> float:
        flow = make()
        began = asyncio.get_running_loop().time()
        flow.pause(7)
        await flow.admit()
        return asyncio.get_running_loop().time() - began

    assert run(scenario()) == pytest.approx(7)


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=30))
def test_whoever_gives_up_waiting_takes_no_place_with_him(limit: int, steps: list[tuple[int, bool]]) -> None:
    async def scenario() -> int:
        flow = make(limit=limit)

        async def one(seconds: int) -> None:
            ticket = await flow.admit()
            try:
                await asyncio.sleep(seconds / 10)
            finally:
                flow.leave(ticket)

        tasks = []
        for seconds, given_up in steps:
            task = asyncio.create_task(one(seconds))
            await asyncio.sleep(0.1)
            tasks.append(task)
            if given_up:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return await asyncio.wait_for(_peak(flow, 20), 100)

    assert run(scenario()) == limit


def test_all_who_wait_are_told_when_no_request_will_be_answered() -> None:
    async def scenario() -> list[BaseException | None]:
        flow = make(limit=1)
        await flow.admit()
        waiting = [asyncio.create_task(flow.admit()) for _ in range(5)]
        await asyncio.sleep(1)
        flow.fail(BackendFailed("gone"))
        await asyncio.wait(waiting)
        with pytest.raises(BackendFailed, match="gone"):
            await flow.admit()
        return [task.exception() for task in waiting]

    assert all(isinstance(error, BackendFailed) for error in run(scenario()))


def test_after_an_outage_one_request_goes_first_and_then_twice_as_many_each_time() -> None:
    async def scenario() -> list[int]:
        flow = make(limit=16)
        widths = []
        flow.lost()
        assert flow.allowed == 0
        flow.back()
        for _ in range(6):
            widths.append(flow.allowed)
            for ticket in [await flow.admit() for _ in range(flow.allowed)]:
                flow.good(ticket)
                flow.leave(ticket)
        return widths

    assert run(scenario()) == [1, 2, 4, 8, 16, 16]
