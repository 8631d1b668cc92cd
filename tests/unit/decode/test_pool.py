"""A medium that takes too long or takes its decoder down is one error; the others are decoded."""

import asyncio
import signal

import pytest

from assay_runner.decode.pool import Decoders
from assay_runner.media import MediaError
from support.decoding import die, double, sleep, undecodable


def test_results_come_back_and_faults_stay_with_their_call():
    async def scenario(decoders):
        calls = [
            decoders.run(double, 4),
            decoders.run(sleep, 600),
            decoders.run(die, signal.SIGKILL),
            decoders.run(die, signal.SIGSEGV),
            decoders.run(undecodable),
            *(decoders.run(double, number) for number in range(20)),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    with Decoders(2, 3) as decoders:
        first, late, killed, crashed, broken, *others = asyncio.run(scenario(decoders))
    assert first == 8 and others == [2 * number for number in range(20)]
    assert all(isinstance(error, MediaError) for error in (late, killed, crashed, broken))
    assert str(late) == "decoding took longer than 3 s"
    assert "SIGKILL, as the system does when memory runs out" in str(killed) and "SIGSEGV" in str(crashed)
    assert str(broken) == "the video is broken"


def test_a_call_that_is_cancelled_frees_its_process():
    async def scenario(decoders):
        call = asyncio.create_task(decoders.run(sleep, 600))
        await asyncio.sleep(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await asyncio.wait_for(decoders.run(double, 1), 30)

    with Decoders(1, 600) as decoders:
        assert asyncio.run(scenario(decoders)) == 2
