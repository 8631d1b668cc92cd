"""Media as servers take them. What every server reads goes as it is; the rest is decoded and encoded anew: pictures without
loss as PNG, sound as WAV in 16 bits at its own rate, and, where a server takes no videos, their frames as JPEG."""

from __future__ import annotations

import io
import time
import wave
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from assay_runner.decode.sampling import Sampling
from assay_runner.media import Media, from_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from assay_runner.decode.video import Decoder

_TAKEN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "audio/wav", "audio/mpeg"})
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Converted:
    """What stands for one medium; `places` are those of a video's frames."""

    media: tuple[Media, ...]
    places: tuple[int, ...] | None = None
    seconds: float = field(default=0.0, compare=False)
    """That it took."""


def is_taken(medium: Media, sampling: Sampling | None) -> bool:
    """Whether a medium goes as it is; `sampling` is given where videos go as frames."""
    return medium.mime in _TAKEN or (medium.kind == "video" and sampling is None)


def convert(medium: Media, sampling: Sampling | None, decoder: Decoder = "pyav") -> Converted:
    """A medium that does not go as it is; `decoder` is that of videos.

    Raises:
        MediaError: it cannot be read or decoded.
    """
    began = time.monotonic()
    made = _made(medium, sampling, decoder)
    return replace(made, seconds=time.monotonic() - began)


def _made(medium: Media, sampling: Sampling | None, decoder: Decoder) -> Converted:
    if medium.kind == "image":
        from assay_runner.decode.image import decode_image

        return Converted((_encoded(decode_image(medium), "PNG"),))
    if medium.kind == "audio":
        return Converted((_wave(medium),))
    assert sampling is not None, "videos go as they are"
    from PIL import Image

    from assay_runner.decode.video import decode_video

    frames = decode_video(medium, sampling, decoder)
    pictures = (_encoded(Image.fromarray(picture), "JPEG", quality=_QUALITY) for picture in frames.pictures)
    return Converted(tuple(pictures), frames.places)


def _encoded(picture: Image, kind: str, **settings: int) -> Media:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return from_bytes(buffer.getvalue())


def _wave(medium: Media) -> Media:
    import numpy as np

    from assay_runner.decode.audio import decode_audio, own_rate

    rate = own_rate(medium)
    samples = np.rint(decode_audio(medium, rate).clip(-1, 1) * 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return from_bytes(buffer.getvalue())
