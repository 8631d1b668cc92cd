"""How models are shown videos: the arguments that every backend which decodes takes, their pins in a plan, and the sampling
that a worker reads back from the pins."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from importlib.metadata import version
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.arguments import MANIFEST, Argument
from assay_runner.decode.sampling import Sampling

_MOST_FRAMES = 1024
_FRAMES, _CAP = 8, 64


def _is_frames(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_FRAMES


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.001 <= value <= 120


VIDEO = {
    "video_frames": Argument(f"a whole number from 1 to {_MOST_FRAMES}", _is_frames),
    "video_fps": Argument("a number of frames per second from 0.001 to 120", _is_rate),
    "video_max_frames": Argument(f"a whole number from 1 to {_MOST_FRAMES}", _is_frames),
}


def video_pins(args: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan says of how videos are shown, and of the libraries that decode them: `args` are checked already.

    Raises:
        SpecError: both a number of frames and a rate are given, or a cap without a rate.
    """
    if "video_frames" in args and "video_fps" in args:
        raise _contradiction(
            "video_fps", "a number of frames is given as well", "keep one of video_frames and video_fps"
        )
    if "video_max_frames" in args and "video_fps" not in args:
        raise _contradiction("video_max_frames", "it limits a rate, and none is given", "add video_fps or remove it")
    if "video_fps" in args:
        video = {"fps": str(Fraction(str(args["video_fps"]))), "most": args.get("video_max_frames", _CAP)}
    else:
        video = {"frames": args.get("video_frames", _FRAMES)}
    return {"video": video, **decoders()}


def decoders() -> dict[str, str]:
    """Releases of the libraries that decode here; another release may give other pixels."""
    return {"av": version("av"), "pillow": version("pillow")}


def sampling(pins: Mapping[str, Any]) -> Sampling:
    """What `video_pins` pinned."""
    video = pins["video"]
    if "frames" in video:
        return Sampling(frames=video["frames"])
    return Sampling(fps=Fraction(video["fps"]), most=video["most"])


def frames_sampling(pins: Mapping[str, Any]) -> Sampling | None:
    """The same where videos may go undecoded; None when they do."""
    return sampling(pins) if "video" in pins else None


def _contradiction(name: str, problem: str, remedy: str) -> SpecError:
    return SpecError(MANIFEST, f"spec.model.args.{name}", problem, remedy)
