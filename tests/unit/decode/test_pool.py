"""A medium that takes too long or takes its decoder down is one error; the others are decoded."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay_runner.decode.pool import Decoders
from assay_runner.media import MediaError
from support.decoding import die, double, hold, sleep, undecodable


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


def test_a_medium_that_wants_too_much_memory_is_refused_and_the_process_goes_on():
    async def scenario(decoders):
        return await asyncio.gather(decoders.run(hold, 1 << 30), decoders.run(hold, 1 << 20), return_exceptions=True)

    with Decoders(1, 60, memory=512 << 20) as decoders:
        refused, fine = asyncio.run(scenario(decoders))
    assert str(refused) == "decoding needed more memory than a medium may take" and fine == 1 << 20


WORKER = """
import asyncio, os
from assay_runner.decode.pool import Decoders
from support.decoding import sleep, who
if __name__ == "__main__":
    async def decode():
        with Decoders(1, 600) as decoders:
            print(await decoders.run(who), flush=True)
            await decoders.run(sleep, 600)
    asyncio.run(decode())
"""


def test_no_process_outlives_a_worker_that_is_killed(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    worker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    decoder = int(worker.stdout.readline())
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 30
    while _alive(decoder):
        assert time.monotonic() < deadline, "it decodes on for nobody"
        time.sleep(0.1)


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
