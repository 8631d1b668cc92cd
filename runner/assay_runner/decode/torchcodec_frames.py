"""Frames of a video by TorchCodec, where it is installed and works. It is told which frames, and counts and times them by a scan
of its own: where that does not agree with PyAV's, the video is refused, because the frames would be others."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_OLDEST = (0, 17)
"""Earlier releases leave videos unturned, or were not compared."""


class UnusableError(Exception):
    """Why TorchCodec cannot be used here; a clause."""


class UndecodableError(Exception):
    """Why a video cannot be decoded; a clause."""


def releases() -> dict[str, str]:
    """The releases of TorchCodec, and of the FFmpeg that it found on this machine: another one may give other pixels.

    Raises:
        UnusableError: it is not installed, too old, or does not load beside what else is.
    """
    try:
        # A planner without a GPU may have another build of the same version.
        found = version("torchcodec").partition("+")[0]
    except PackageNotFoundError as error:
        raise UnusableError("it is not installed") from error
    if tuple(map(int, found.split(".")[:2])) < _OLDEST:
        raise UnusableError(f"release {found} is older than {_OLDEST[0]}.{_OLDEST[1]}")
    try:
        from torchcodec._core import get_ffmpeg_library_versions
        from torchcodec.decoders import VideoDecoder  # noqa: F401 - whether it loads

        return {"torchcodec": found, "ffmpeg": str(get_ffmpeg_library_versions()["ffmpeg_version"])}
    except (ImportError, OSError, RuntimeError, AttributeError, KeyError) as error:
        raise UnusableError(f"it is installed and does not load ({_first_line(error)})") from error


def decode_frames(
    data: bytes, stream: int, count: int, places: Sequence[int], times: Sequence[int], unit: Fraction
) -> list[NDArray[np.uint8]]:
    """The frames at `places`: height × width × 3 each, RGB, upright.

    Args:
        stream: its index in the file.
        count: how many frames PyAV finds in it.
        times: of the frames at `places`, in units of `unit` seconds.

    Raises:
        UndecodableError: TorchCodec cannot decode it, or does not find the same frames.
    """
    try:
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(
            data,
            stream_index=stream,
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            device="cpu",
            seek_mode="exact",
        )
        if len(decoder) != count:
            raise UndecodableError(f"PyAV counts {count} frames in it and TorchCodec {len(decoder)}")
        batch = decoder.get_frames_at(list(places))
    except (ImportError, OSError, RuntimeError, ValueError, IndexError) as error:
        raise UndecodableError(f"TorchCodec: {_first_line(error)}") from error
    found = batch.pts_seconds.tolist()
    others = sum(round(Fraction(one) / unit) != time for one, time in zip(found, times, strict=True))
    if others:
        raise UndecodableError(
            f"{others} of {len(places)} frames are damaged, or PyAV and TorchCodec time them differently"
        )
    return list(batch.data.numpy())


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
