"""How videos are shown is said once, pinned, and read back the same."""

import json
from fractions import Fraction

import pytest

from assay_api.errors import SpecError, Unfit
from assay_runner.backends import media_arguments
from assay_runner.backends.arguments import check
from assay_runner.backends.media_arguments import VIDEO, decoders_here, sampling, video_decoder, video_pins
from assay_runner.backends.source import refuse_others
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.torchcodec_frames import UnusableError


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


HERE = {"torchcodec": "0.17.0", "ffmpeg": "5.1.9"}


def absent() -> dict[str, str]:
    raise UnusableError("it is not installed")


def test_torchcodec_is_pinned_with_its_ffmpeg_where_it_works_and_pyav_where_it_does_not(monkeypatch):
    monkeypatch.setattr(media_arguments, "releases", lambda: HERE)
    pins = video_pins({})
    assert video_decoder(pins) == "torchcodec" and pins.items() >= HERE.items()
    monkeypatch.setattr(media_arguments, "releases", absent)
    pins = video_pins({})
    assert video_decoder(pins) == "pyav" and not HERE.keys() & pins.keys()


def test_the_argument_decides_over_what_is_installed(monkeypatch):
    monkeypatch.setattr(media_arguments, "releases", lambda: HERE)
    assert video_decoder(video_pins({"video_decoder": "pyav"})) == "pyav"
    monkeypatch.setattr(media_arguments, "releases", absent)
    with pytest.raises(SpecError, match=r"args\.video_decoder: .*it is not installed"):
        video_pins({"video_decoder": "torchcodec"})


def test_a_worker_without_the_planned_decoder_refuses_and_one_with_more_decodes_as_planned(monkeypatch):
    monkeypatch.setattr(media_arguments, "releases", lambda: HERE)
    pins, plain = video_pins({}), video_pins({"video_decoder": "pyav"})
    refuse_others(pins, decoders_here(pins))
    refuse_others(plain, decoders_here(plain))
    monkeypatch.setattr(media_arguments, "releases", lambda: HERE | {"ffmpeg": "7.1"})
    with pytest.raises(Unfit, match=r"pins\.ffmpeg: the run was planned with 5\.1\.9, here is 7\.1"):
        refuse_others(pins, decoders_here(pins))
    monkeypatch.setattr(media_arguments, "releases", absent)
    with pytest.raises(Unfit, match=r"pins\.torchcodec: .* 0\.17\.0, here is none that works \(it is not installed\)"):
        refuse_others(pins, decoders_here(pins))
