"""How videos are shown is said once, pinned, and read back the same."""

import json
from fractions import Fraction

import pytest

from assay_api.errors import SpecError
from assay_runner.backends.arguments import check
from assay_runner.backends.media_arguments import VIDEO, sampling, video_pins
from assay_runner.decode.sampling import Sampling


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ({}, Sampling(frames=8)),
        ({"video_frames": 32}, Sampling(frames=32)),
        ({"video_fps": 2}, Sampling(fps=Fraction(2), most=64)),
        ({"video_fps": 0.1, "video_max_frames": 7}, Sampling(fps=Fraction(1, 10), most=7)),
    ],
)
def test_what_is_pinned_is_what_was_meant(args, meant):
    check("transformers", args, VIDEO)
    assert sampling(json.loads(json.dumps(video_pins(args)))) == meant


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"video_frames": 8, "video_fps": 1}, "keep one of video_frames and video_fps"),
        ({"video_max_frames": 8}, "add video_fps or remove it"),
    ],
)
def test_contradictions_are_refused(args, words):
    with pytest.raises(SpecError, match=words):
        video_pins(args)


@pytest.mark.parametrize("args", [{"video_frames": 0}, {"video_frames": True}, {"video_fps": "2"}, {"video_fps": 0}])
def test_values_out_of_range_are_refused_by_name(args):
    with pytest.raises(SpecError, match=next(iter(args))):
        check("transformers", args, VIDEO)
