"""How models are shown videos: the arguments that every backend which decodes takes, their pins in a plan, and the sampling and
the decoder that a worker reads back from the pins."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from assay_api.errors import SpecError
from assay_runner.backends.arguments import MANIFEST, Argument, one_of
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.torchcodec_frames import UnusableError, releases

if TYPE_CHECKING:
    from assay_runner.decode.video import Decoder

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
    "video_decoder": one_of("pyav", "torchcodec"),
}


def video_pins(args: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan says of how videos are shown, and of the libraries that decode them: `args` are checked already.

    Raises:
        SpecError: both a number of frames and a rate are given, a cap without a rate, or a decoder that is not usable here.
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
    return {"video": video, **decoders(), **_chosen_decoder(args.get("video_decoder"))}


def decoders() -> dict[str, str]:
    """Releases of the libraries that decode everywhere; another release may give other pixels."""
    return {"av": version("av"), "pillow": version("pillow")}


def decoders_here(pins: Mapping[str, Any]) -> dict[str, str]:
    """What this machine has of the libraries that a plan decodes with."""
    if video_decoder(pins) == "pyav":
        return decoders()
    try:
        return decoders() | releases()
    except UnusableError as error:
        return decoders() | {"torchcodec": f"none that works ({error})"}


def video_decoder(pins: Mapping[str, Any]) -> Decoder:
    """The decoder of videos that `video_pins` pinned; PyAV where videos are not decoded."""
    return "torchcodec" if pins.get("video_decoder") == "torchcodec" else "pyav"


def sampling(pins: Mapping[str, Any]) -> Sampling:
    """What `video_pins` pinned."""
    video = pins["video"]
    if "frames" in video:
        return Sampling(frames=video["frames"])
    return Sampling(fps=Fraction(video["fps"]), most=video["most"])


def frames_sampling(pins: Mapping[str, Any]) -> Sampling | None:
    """The same where videos may go undecoded; None when they do."""
    return sampling(pins) if "video" in pins else None


def _chosen_decoder(asked: Decoder | None) -> dict[str, str]:
    """Decided once, at planning: two workers that decode differently would give two results."""
    if asked == "pyav":
        return {"video_decoder": "pyav"}
    try:
        return {"video_decoder": "torchcodec", **releases()}
    except UnusableError as error:
        if asked is None:
            return {"video_decoder": "pyav"}
        problem, remedy = (
            f"TorchCodec cannot be used here: {error}",
            "install it as docs/backends.md says, or remove it",
        )
        raise SpecError(MANIFEST, "spec.model.args.video_decoder", problem, remedy) from error


def _contradiction(name: str, problem: str, remedy: str) -> SpecError:
    return SpecError(MANIFEST, f"spec.model.args.{name}", problem, remedy)
