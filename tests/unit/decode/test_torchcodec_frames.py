"""TorchCodec shows the frames that PyAV shows. Skipped where TorchCodec does not work."""

import asyncio
from fractions import Fraction

import numpy as np
import pytest

from assay_runner.decode.pool import Decoders
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.torchcodec_frames import UndecodableError, UnusableError, decode_frames, releases
from assay_runner.decode.video import decode_video
from assay_runner.media import MediaError, from_bytes
from support.clips import clip
from support.recordings import COUNT, video


def _why_not() -> str:
    try:
        releases()
    except UnusableError as error:
        return f"TorchCodec: {error}"
    return ""


WHY_NOT = _why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

ROUNDING = 2
"""How far apart two releases of FFmpeg may round a colour, of 255."""
KINDS = [
    {},
    {"gop": 250},
    {"gop": 1, "b_frames": 0},
    {"uneven": True},
    {"rotation": 90},
    {"rotation": 180},
    {"rotation": -90},
    {"container": "matroska"},
    {"container": "webm", "codec": "libvpx-vp9", "b_frames": 0},
    {"container": "mov", "codec": "mpeg4"},
    {"container": "avi", "codec": "mpeg4", "b_frames": 0},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("wanted", [1, 8, 500])
def test_places_times_and_pictures_are_those_of_pyav(kind, wanted):
    medium, sampling = from_bytes(video(**kind)), Sampling(frames=wanted)
    theirs, ours = decode_video(medium, sampling, "torchcodec"), decode_video(medium, sampling, "pyav")
    assert (theirs.places, theirs.seconds) == (ours.places, ours.seconds)
    assert [one.shape for one in theirs.pictures] == [one.shape for one in ours.pictures]
    assert all(one.dtype == np.uint8 for one in theirs.pictures)
    assert theirs.pictures[0].shape == ((64, 48, 3) if abs(kind.get("rotation", 0)) == 90 else (48, 64, 3))
    apart = max(
        int(np.abs(one.astype(int) - other).max()) for one, other in zip(theirs.pictures, ours.pictures, strict=True)
    )
    assert apart <= ROUNDING


def test_lossless_frames_are_the_same_to_the_bit():
    medium = clip()
    theirs, ours = (decode_video(medium, Sampling(frames=9), one) for one in ("torchcodec", "pyav"))
    np.testing.assert_array_equal(np.stack(theirs.pictures), np.stack(ours.pictures))


def test_damage_and_missing_indexes_are_errors():
    whole = video()
    damaged = bytearray(whole)
    start = damaged.find(b"mdat") + 400
    damaged[start : start + 3000] = bytes(3000)
    for data in (whole[:2000], bytes(damaged)):
        with pytest.raises(MediaError, match="cannot be decoded"):
            decode_video(from_bytes(data), Sampling(frames=COUNT), "torchcodec")


def test_a_truncated_video_is_an_error_or_gives_what_pyav_gives():
    whole = video(container="matroska")
    for share in (0.05, 0.3, 0.7, 0.95):
        medium = from_bytes(whole[: int(len(whole) * share)])
        try:
            theirs = decode_video(medium, Sampling(frames=4), "torchcodec")
        except MediaError:
            continue
        ours = decode_video(medium, Sampling(frames=4), "pyav")
        assert theirs.places == ours.places
        np.testing.assert_allclose(np.stack(theirs.pictures).astype(int), np.stack(ours.pictures), atol=ROUNDING)


def test_another_count_or_other_times_are_refused_rather_than_other_frames_shown():
    data, unit = video(container="matroska"), Fraction(1, 1000)
    [picture] = decode_frames(data, 0, COUNT, [1], [40], unit)
    assert picture.shape == (48, 64, 3)
    with pytest.raises(UndecodableError, match="PyAV counts 74 frames in it and TorchCodec 75"):
        decode_frames(data, 0, COUNT - 1, [1], [40], unit)
    with pytest.raises(UndecodableError, match="1 of 1 frames"):
        decode_frames(data, 0, COUNT, [1], [80], unit)


def test_it_works_within_the_memory_of_a_decoding_process():
    async def scenario():
        with Decoders(1, 60) as decoders:
            return await decoders.run(decode_video, from_bytes(video()), Sampling(frames=2), "torchcodec")

    assert asyncio.run(scenario()).places == (0, COUNT - 1)
