"""How requests are held back, on a clock that tests turn."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.flow import Flow, jittered


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def make(limit: int = 4, outage: float = 120.0) -> tuple[Flow, Time]:
    time = Time()
    return Flow(limit, clock=time.clock, sleep=time.sleep, random=Random(1), outage_seconds=outage), time


@given(st.integers(0, 50), st.floats(1, 100), st.integers(0, 2**32))
def test_jitter_stays_between_its_floor_and_the_exponential_ceiling(step: int, longest: float, seed: int) -> None:
    assert 0.25 <= jittered(step, longest, Random(seed)) <= max(0.25, min(longest, 2.0**step))


async def _peak(flow: Flow, requests: int) -> int:
    inside = peak = 0

    async def one() -> None:
        nonlocal inside, peak
        await flow.admit()
        inside += 1
        peak = max(peak, inside)
        await asyncio.sleep(0)
        inside -= 1
        await flow.leave()

    await asyncio.gather(*(one() for _ in range(requests)))
    return peak


def test_no_more_are_in_flight_than_the_limit_and_all_get_in() -> None:
    async def scenario() -> int:
        flow, _ = make(limit=4)
        return await _peak(flow, 40)

    assert asyncio.run(scenario()) == 4


def test_a_share_that_shrinks_and_grows_is_kept_to_and_all_get_in() -> None:
    async def scenario() -> list[int]:
        time, share = Time(), [4]
        flow = Flow(4, clock=time.clock, sleep=time.sleep, random=Random(1), share=lambda: share[0])
        peaks = []
        for share[0] in (4, 1, 3, 9):
            peaks.append(await _peak(flow, 40))
        return peaks

    assert asyncio.run(scenario()) == [4, 1, 3, 4]


def test_one_complaint_of_overload_shrinks_once_and_good_answers_grow_back_to_the_limit() -> None:
    async def scenario() -> tuple[int, int, int]:
        flow, _ = make(limit=9)
        tickets = [await flow.admit() for _ in range(9)]
        for ticket in tickets:
            flow.overloaded(ticket)
        shrunk = flow.allowed
        for _ in range(7):
            flow.succeeded()
        grown = flow.allowed
        for _ in range(100):
            flow.succeeded()
        return shrunk, grown, flow.allowed

    shrunk, grown, final = asyncio.run(scenario())
    assert (shrunk, final) == (6, 9)
    assert 6 < grown < 9


def test_overload_never_stops_everything() -> None:
    async def scenario() -> int:
        flow, _ = make(limit=8)
        for _ in range(50):
            ticket = await flow.admit()
            flow.overloaded(ticket)
            await flow.leave()
        return flow.allowed

    assert asyncio.run(scenario()) == 1


def test_a_pause_holds_back_everybody_until_it_is_over() -> None:
    async def scenario() -> float:
        flow, time = make()
        flow.pause(7)
        await flow.admit()
        return time.now

    assert asyncio.run(scenario()) == pytest.approx(107)


def test_in_an_outage_one_request_at_a_time_tries_and_then_all_go_on() -> None:
    async def scenario() -> tuple[int, int, int]:
        flow, _ = make(limit=4)
        ticket = await flow.admit()
        flow.unreachable(ticket, "there", "refused")
        await flow.leave()
        during = flow.allowed
        await flow.admit()
        flow.answered()
        await flow.leave()
        return during, flow.allowed, await _peak(flow, 10)

    assert asyncio.run(scenario()) == (1, 4, 4)


def test_an_outage_beyond_its_budget_ends_the_worker_and_one_within_it_does_not() -> None:
    async def scenario() -> tuple[float, str]:
        flow, time = make(outage=120)
        began = time.now
        with pytest.raises(BackendFailed) as failure:
            while True:
                ticket = await flow.admit()
                try:
                    flow.unreachable(ticket, "http://there/v1", "connection refused")
                finally:
                    await flow.leave()
        return time.now - began, str(failure.value)

    waited, message = asyncio.run(scenario())
    assert 120 < waited < 130
    assert "http://there/v1" in message
    assert "connection refused" in message


def test_an_answer_between_two_outages_starts_the_budget_anew() -> None:
    async def scenario() -> None:
        flow, time = make(outage=10)
        for _ in range(5):
            ticket = await flow.admit()
            flow.unreachable(ticket, "there", "refused")
            await flow.leave()
            time.now += 8
            await flow.admit()
            flow.answered()
            await flow.leave()

    asyncio.run(scenario())


def test_many_refusals_of_one_moment_are_one_step_of_backoff() -> None:
    async def scenario() -> float:
        flow, time = make(limit=64)
        tickets = [await flow.admit() for _ in range(64)]
        for ticket in tickets:
            flow.unreachable(ticket, "there", "refused")
            await flow.leave()
        began = time.now
        await flow.admit()
        return time.now - began

    assert asyncio.run(scenario()) <= 1.0
