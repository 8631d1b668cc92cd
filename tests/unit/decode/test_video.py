"""The frames that are decoded are the chosen ones, to the pixel, whatever the container, codec and order of its frames."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from assay_runner.decode.sampling import Sampling
from assay_runner.decode.video import decode_video
from assay_runner.media import MediaError, from_bytes
from support.recordings import COUNT, video


def plainly(data: bytes) -> list[np.ndarray]:
    """All frames, one after another."""
    with av.open(io.BytesIO(data)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


KINDS = [
    {},
    {"gop": 250},
    {"gop": 1, "b_frames": 0},
    {"bf_strategy": "0", "b_pyramid": "none"},
    {"container": "matroska"},
    {"container": "webm", "codec": "libvpx-vp9", "b_frames": 0},
    {"container": "mov", "codec": "mpeg4"},
    {"container": "avi", "codec": "mpeg4", "b_frames": 0},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("wanted", [1, 2, 8, 32, 500])
def test_the_frames_are_those_of_decoding_everything(kind, wanted):
    data = video(**kind)
    every = plainly(data)
    found = decode_video(from_bytes(data), Sampling(frames=wanted))
    assert len(every) == COUNT
    for place, picture in zip(found.places, found.pictures, strict=True):
        np.testing.assert_array_equal(picture, every[place])
    assert found.seconds == pytest.approx([place / 25 for place in found.places], abs=2e-3)


def test_a_rate_is_that_of_the_video_s_time():
    found = decode_video(from_bytes(video()), Sampling(fps=Fraction(2)))
    assert found.places == (0, 14, 29, 44, 59, 74)


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.95])
def test_a_truncated_video_is_an_error_or_gives_the_frames_that_are_there(share):
    whole = video(container="matroska")
    data = whole[: int(len(whole) * share)] or whole[:64]
    try:
        found = decode_video(from_bytes(data), Sampling(frames=4))
    except MediaError as error:
        assert "the video" in str(error)
    else:
        every = plainly(data)
        assert all((picture == every[place]).all() for place, picture in zip(found.places, found.pictures, strict=True))


def test_a_file_without_its_index_is_an_error():
    with pytest.raises(MediaError, match=r"the video [0-9a-f]{12} cannot be decoded"):
        decode_video(from_bytes(video()[:2000]), Sampling(frames=4))


def test_damage_in_the_middle_is_an_error_or_changes_no_other_frame():
    data = bytearray(video())
    start = data.find(b"mdat") + 400
    data[start : start + 3000] = bytes(3000)
    with pytest.raises(MediaError, match=r"frames are damaged|cannot be decoded"):
        decode_video(from_bytes(bytes(data)), Sampling(frames=COUNT))


def test_a_file_with_sound_alone_has_no_pictures():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(MediaError, match="it has no pictures"):
        decode_video(from_bytes(out.getvalue()), Sampling(frames=4))
