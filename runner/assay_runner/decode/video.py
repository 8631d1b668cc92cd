"""Frames of a video, by PyAV or TorchCodec. PyAV counts the frames by their packets, which decodes nothing; then only what the
chosen ones need is decoded, from the key frame before each."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay_runner.decode.sampling import Sampling, chosen_frames
from assay_runner.decode.torchcodec_frames import UndecodableError, decode_frames
from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Decoder = Literal["pyav", "torchcodec"]
LARGEST = 2_000_000_000
"""Bytes that the chosen frames may have together."""
MOST_FRAMES = 2_000_000
"""Frames of a video at most: eighteen hours at thirty a second."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The chosen frames of a video."""

    pictures: tuple[NDArray[np.uint8], ...]
    """Height × width × 3 each, RGB."""
    places: tuple[int, ...]
    """Where they stand among the video's frames, in presentation order from 0."""
    seconds: tuple[float, ...]
    """Their times, from the first frame's on."""


@dataclass(frozen=True, slots=True)
class _Track:
    """A video's frames by the time at which each is shown, in the stream's own units."""

    times: list[int]
    keys: list[int]
    """Of these, the frames at which decoding can begin."""
    unit: Fraction
    """Seconds."""

    @property
    def seconds(self) -> Fraction:
        """How long the video lasts, its last frame taken to be shown as long as others."""
        shown = (self.times[-1] - self.times[0]) * self.unit
        return shown * len(self.times) / (len(self.times) - 1) if len(self.times) > 1 else Fraction(0)


def decode_video(medium: Media, sampling: Sampling, decoder: Decoder = "pyav") -> Frames:
    """The chosen frames: the same ones by either decoder, whose pixels may differ by rounding.

    Raises:
        MediaError: it cannot be read or decoded, has no frames, or the frames are too large.
    """
    with _opened(medium) as (data, container, stream):
        track = _track(container, stream)
        places = chosen_frames(sampling, len(track.times), track.seconds)
        size = stream.codec_context.width * stream.codec_context.height * 3
        if size * len(places) > LARGEST:
            raise UndecodableError(f"{len(places)} frames of {size:,} bytes are more than {LARGEST:,} bytes")
        wanted = [track.times[place] for place in places]
        if decoder == "torchcodec":
            pictures = decode_frames(data, stream.index, len(track.times), places, wanted, track.unit)
        else:
            found = _decode(container, stream, track, wanted)
            pictures = [_picture(found[time]) for time in wanted]
        return Frames(
            tuple(pictures),
            places,
            tuple(float((time - track.times[0]) * track.unit) for time in wanted),
        )


@contextmanager
def _opened(medium: Media) -> Iterator[tuple[bytes, InputContainer, VideoStream]]:
    import av

    name = f"the video {medium.sha256[:12]}"
    try:
        data = medium.read()
        with av.open(io.BytesIO(data), mode="r") as container:
            if not container.streams.video:
                raise UndecodableError("it has no pictures")
            stream = container.streams.video[0]
            # There are as many processes as cores: threads of FFmpeg on top of them cost a fifth more than they bring.
            stream.codec_context.thread_count = 1
            yield data, container, stream
    except UndecodableError as error:
        raise MediaError(f"{name} cannot be decoded: {error}") from error
    except (av.FFmpegError, OSError, ValueError, EOFError, MemoryError) as error:
        raise MediaError(f"{name} cannot be decoded ({error})") from error


def _track(container: InputContainer, stream: VideoStream) -> _Track:
    times: list[int] = []
    keys: list[int] = []
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            raise UndecodableError("its frames have no times")
        times.append(time)
        if packet.is_keyframe:
            keys.append(time)
        if len(times) > MOST_FRAMES:
            raise UndecodableError(f"it has more than {MOST_FRAMES:,} frames")
    if not times:
        raise UndecodableError("it has no frames")
    times.sort()
    keys.sort()
    return _Track(times, keys or times[:1], Fraction(stream.time_base or 1))


def _decode(
    container: InputContainer, stream: VideoStream, track: _Track, wanted: Sequence[int]
) -> dict[int, VideoFrame]:
    """Time → frame. Frames that no other needs are skipped unless they are wanted."""
    after: dict[int, set[int]] = {}
    for time in wanted:
        after.setdefault(track.keys[max(0, bisect_right(track.keys, time) - 1)], set()).add(time)
    found: dict[int, VideoFrame] = {}
    for key, times in after.items():
        found |= _decode_from(container, stream, key, times)
    missing = set(wanted) - found.keys()
    if missing:
        raise UndecodableError(f"{len(missing)} of {len(set(wanted))} frames are damaged")
    return found


def _decode_from(container: InputContainer, stream: VideoStream, key: int, times: set[int]) -> dict[int, VideoFrame]:
    codec = stream.codec_context
    codec.flush_buffers()
    container.seek(key, stream=stream)
    found: dict[int, VideoFrame] = {}
    asked: set[int] = set()
    for packet in container.demux(stream):
        time = packet.pts if packet.pts is not None else packet.dts
        codec.skip_frame = "DEFAULT" if time in times or not packet.size else "NONREF"
        found |= _taken(codec.decode(packet), times)
        if time is not None:
            asked.add(time)
        if found.keys() >= times:
            return found
        if asked >= times and packet.size:
            # All that are wanted went in; what the decoder still holds comes out now.
            return found | _taken(codec.decode(None), times)
    return found


def _taken(frames: Sequence[Any], times: set[int]) -> dict[int, VideoFrame]:
    return {frame.pts: frame for frame in frames if frame.pts in times}


def _picture(frame: VideoFrame) -> NDArray[np.uint8]:
    picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turned = -round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, -turned)) if turned else picture
