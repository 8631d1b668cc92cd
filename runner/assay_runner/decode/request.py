"""The media of one request, decoded in one go: what a process of `Decoders` is asked to do, and what comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay_runner.decode.sampling import Sampling
from assay_runner.decode.video import Decoder, Frames
from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

    Decoded = Image | Frames | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a model wants its media."""

    sampling: Sampling
    rate: int
    """Samples of sound per second."""
    decoder: Decoder = "pyav"
    """Of videos."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Decoded media in the order in which they were given: a picture of PIL, `Frames`, or sound in one channel."""

    media: tuple[Decoded, ...]
    seconds: float
    """That decoding took."""

    @property
    def frames(self) -> tuple[tuple[int, ...], ...]:
        """Of each video, the places of the frames that were chosen."""
        return tuple(one.places for one in self.media if isinstance(one, Frames))


def decode_media(media: tuple[Media, ...], wanted: Wanted) -> Opened:
    """All of them, or none.

    Raises:
        MediaError: one cannot be read or decoded.
    """
    began = time.monotonic()
    return Opened(tuple(_decoded(medium, wanted) for medium in media), time.monotonic() - began)


def decode_each(requests: tuple[tuple[Media, ...], ...], wanted: Wanted) -> tuple[Opened | MediaError, ...]:
    """The media of several requests, each decoded or its error."""
    return tuple(_or_error(media, wanted) for media in requests)


def _or_error(media: tuple[Media, ...], wanted: Wanted) -> Opened | MediaError:
    try:
        return decode_media(media, wanted)
    except MediaError as error:
        return error


def _decoded(medium: Media, wanted: Wanted) -> Decoded:
    # Each kind needs another library, and most runs have one kind.
    if medium.kind == "image":
        from assay_runner.decode.image import decode_image

        return decode_image(medium)
    if medium.kind == "audio":
        from assay_runner.decode.audio import decode_audio

        return decode_audio(medium, wanted.rate)
    from assay_runner.decode.video import decode_video

    return decode_video(medium, wanted.sampling, wanted.decoder)
