"""Arrays cross between two processes in shared memory where there is some, and with the rest of a result where there is none."""

import asyncio
import os

import numpy as np
import pytest

from assay_runner.decode.parcel import Counter, pack
from assay_runner.decode.pool import Decoders
from support.decoding import numbers


def test_arrays_of_a_decoding_process_arrive_whole_and_may_be_written_to():
    async def scenario(decoders):
        return await asyncio.gather(*(decoders.run(numbers, count) for count in (0, 1, 5, 3_000_000)))

    with Decoders(2, 60) as decoders:
        found = asyncio.run(scenario(decoders))
    for count, (name, whole, halves) in zip((0, 1, 5, 3_000_000), found, strict=True):
        assert name == str(count) and whole.dtype == np.int64 and halves.dtype == np.float32
        assert (whole == np.arange(count)).all() and (halves == np.arange(count, dtype=np.float32) / 2).all()
        whole += 1
        assert (whole == np.arange(1, count + 1)).all() and (halves == np.arange(count, dtype=np.float32) / 2).all()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has such memory")
def test_what_is_packed_for_an_address_holds_no_array_itself():
    with Counter() as counter:
        parcel = pack(counter.address, numbers, (100_000,))
        assert len(parcel.content) < 1_000 and parcel.sizes == (800_000, 400_000)
        assert (counter.open(parcel)[1] == np.arange(100_000)).all()


@pytest.mark.parametrize("address", [None, "/proc/self/fd/999999"])
def test_without_an_address_that_can_be_opened_a_result_comes_whole(address):
    with Counter() as counter:
        parcel = pack(address, numbers, (1_000,))
        assert parcel.sizes == () and (counter.open(parcel)[1] == np.arange(1_000)).all()
