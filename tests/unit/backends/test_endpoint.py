"""How an endpoint's limits and troubles are lived with, on a clock that jumps."""

from collections import Counter
from random import Random

import pytest

from assay_runner.backends.base import BackendFailed
from assay_runner.backends.endpoint import Asked
from assay_runner.backends.hedge import Hedge
from assay_runner.backends.http_client import ExchangeError
from support.simulated_endpoint import (
    Bucket,
    Outages,
    Outcome,
    SimulatedServer,
    Sliding,
    Windows,
    answer,
    ask_all,
    dropped,
    refused,
)
from support.virtual_time import run


@pytest.mark.parametrize("retry_after", [None, "1"])
@pytest.mark.parametrize("latency", [0.02, 1.5])
@pytest.mark.parametrize("kind", [Sliding, Windows, Bucket])
def test_a_server_that_takes_20_requests_a_second_is_kept_at_nine_tenths_of_that(kind, latency, retry_after) -> None:
    server = SimulatedServer(latency=lambda body: latency, trouble=kind(20, retry_after))
    found = run(ask_all(server, 1200))
    assert not found.errors
    assert len(found.answers) == 1200
    assert found.seconds - latency <= 1200 / 20 / 0.9
    assert server.refused < 0.1 * 1200, "a limit that is known is not run against all the time"


def test_a_server_that_refuses_more_than_eight_at_a_time_is_kept_busy_and_loses_nothing() -> None:
    server = SimulatedServer(latency=lambda body: 0.5)
    server.trouble = lambda body: answer(429) if body and server.in_flight > 8 else None
    found = run(ask_all(server, 800))
    assert not found.errors
    assert found.seconds <= 800 / 8 * 0.5 / 0.75


def test_a_server_that_says_503_to_more_than_ten_at_a_time_is_asked_by_about_ten() -> None:
    server = SimulatedServer(latency=lambda body: 0.5)
    server.trouble = lambda body: answer(503) if body and server.in_flight > 10 else None
    found = run(ask_all(server, 800))
    assert not found.errors
    assert 5 <= found.level <= 12
    assert found.seconds <= 800 / 10 * 0.5 / 0.7


def test_a_server_that_only_queues_what_exceeds_eight_is_not_flooded() -> None:
    server = SimulatedServer()
    server.latency = lambda body: 0.2 * max(1.0, server.in_flight / 8)
    found = run(ask_all(server, 3000))
    assert found.level <= 20


def test_a_server_with_room_gets_all_that_the_job_allows() -> None:
    random = Random(5)
    server = SimulatedServer(latency=lambda body: random.expovariate(1.0))
    found = run(ask_all(server, 3000))
    assert found.level == server.peak == 64


@pytest.mark.parametrize("how", [refused, dropped, lambda: answer(502), lambda: answer(504)])
def test_a_server_that_dies_for_30_seconds_is_waited_for_and_no_sample_pays_for_it(how) -> None:
    server = SimulatedServer()
    Outages(server, at=0.5, seconds=30, how=how)
    found = run(ask_all(server, 3000, retries=0))
    assert not found.errors
    assert 30 < found.seconds < 30 + 10 + 2
    assert len(server.looked) < 60, "while it is away it is asked by one, now and then"
    assert len(server.sent) <= 3000 + 2 * 64


def test_who_watches_is_told_that_an_endpoint_is_waited_for_since_when_and_why() -> None:
    server = SimulatedServer()
    Outages(server, at=1.5, seconds=30, how=refused)
    troubles = run(ask_all(server, 10_000)).troubles
    told = {round(second): trouble for second, trouble in troubles}
    assert told[1] == "" == troubles[-1][1]
    assert told[12] == "waiting for http://there/v1, silent for 11 s (there:80: Connection refused)"


def test_who_watches_is_told_of_a_pause_that_the_endpoint_asked_for() -> None:
    server = SimulatedServer()
    server.trouble = lambda body: answer(429, "20") if body and len(server.sent) < 10 else None
    told = {round(second): trouble for second, trouble in run(ask_all(server, 100)).troubles}
    assert told[5] == "http://there/v1 asked to be left alone for 15 s more"


def test_a_server_that_stays_away_ends_the_worker_after_two_minutes() -> None:
    server = SimulatedServer()
    Outages(server, at=0.5, seconds=1e9, how=refused)
    with pytest.raises(BackendFailed, match=r"http://there/v1 has answered no request for 12\d s .*refused"):
        run(ask_all(server, 3000))


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_refuses_everything_for_ever_ends_the_worker(status: int) -> None:
    with pytest.raises(BackendFailed, match=rf"has answered no request for 1[2-5]\d s \(HTTP{status}"):
        run(ask_all(SimulatedServer(trouble=lambda body: answer(status) if body else None), 10))


def test_a_stated_pause_is_no_outage_but_does_not_go_on_for_ever() -> None:
    lives = SimulatedServer()
    lives.trouble = lambda body: answer(429, "200") if body and len(lives.sent) < 70 else None
    found = run(ask_all(lives, 100))
    assert not found.errors and found.seconds > 200
    with pytest.raises(BackendFailed, match="has answered no request for"):
        run(ask_all(SimulatedServer(trouble=lambda body: answer(429, "200") if body else None), 100))


def test_long_work_on_a_few_requests_is_no_outage_for_the_refused_ones() -> None:
    server = SimulatedServer(latency=lambda body: 200.0)
    server.trouble = lambda body: answer(429) if body and server.in_flight > 4 else None
    found = run(ask_all(server, 20))
    assert not found.errors


def test_one_request_that_loses_its_connection_every_time_is_the_only_one_that_fails() -> None:
    server = SimulatedServer(trouble=lambda body: dropped() if body == b"700" else None)
    found = run(ask_all(server, 2000))
    assert set(found.errors) == {700}
    assert (found.errors[700].kind, found.errors[700].attempts) == ("Connection", 4)
    assert max(Counter(body for _, body in server.sent if body != b"700").values()) == 1


def test_one_request_that_brings_the_server_down_every_time_is_the_only_one_that_fails() -> None:
    server = SimulatedServer()
    down = [-1.0]

    def trouble(body: bytes):
        if server.now < down[0]:
            return dropped()
        if body == b"700":
            down[0] = server.now + 5
            return dropped()
        return None

    server.trouble = trouble
    server.models = lambda: refused() if server.now < down[0] else answer(200)
    found = run(ask_all(server, 2000))
    assert set(found.errors) == {700}


def test_a_request_that_alone_is_refused_for_ever_is_given_up() -> None:
    random = Random(1)
    server = SimulatedServer(latency=lambda body: random.expovariate(0.2))
    server.trouble = lambda body: answer(429) if body == b"7" else None
    found = run(ask_all(server, 20_000))
    assert set(found.errors) == {7}
    assert found.errors[7].kind == "HTTP429"


def test_requests_that_time_out_while_the_server_lives_are_charged_and_others_go_on() -> None:
    late = ExchangeError("Timeout", "no complete answer within 600 s")
    server = SimulatedServer(trouble=lambda body: late if body in (b"3", b"4", b"5", b"6") else None)
    found = run(ask_all(server, 500, retries=1))
    assert {number: (error.kind, error.attempts) for number, error in found.errors.items()} == dict.fromkeys(
        (3, 4, 5, 6), ("Timeout", 2)
    )


def _stragglers(hedge: Hedge | None) -> tuple[Outcome, SimulatedServer]:
    random = Random(3)
    server = SimulatedServer(latency=lambda body: 60.0 if random.random() < 0.01 else random.uniform(0.5, 1.5))
    return run(ask_all(server, 1000, hedge=hedge)), server


def test_with_hedging_the_end_of_a_run_is_not_held_up_and_few_are_asked_twice() -> None:
    plain, asked_once = _stragglers(None)
    hedged, asked = _stragglers(Hedge())
    assert not hedged.errors
    assert len(asked_once.sent) == 1000
    assert 1000 < len(asked.sent) <= 1050
    assert asked.peak <= 64
    assert hedged.seconds < plain.seconds - 30


def test_an_answer_tells_its_own_seconds_and_all_its_tries() -> None:
    server = SimulatedServer(latency=lambda body: 2.0)
    server.trouble = lambda body: answer(500) if body and len(server.sent) == 1 else None
    found = run(ask_all(server, 1)).answers[0]
    assert isinstance(found, Asked)
    assert (found.attempts, found.latency) == (2, pytest.approx(2.0))
