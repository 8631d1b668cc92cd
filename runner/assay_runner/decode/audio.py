"""Sound as models read it: one channel at the rate that they want, by PyAV and FFmpeg's resampler."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from assay_runner.media import Media, MediaError

LONGEST = 6 * 3600
"""Seconds of sound at most."""


def decode_audio(medium: Media, rate: int) -> NDArray[np.float32]:
    """Samples from −1 to 1 at `rate` per second; of several channels their mean. Of a video, its sound.

    Raises:
        MediaError: it cannot be read or decoded, holds no sound, or too much of it.
    """
    import av

    name = f"the {medium.kind} {medium.sha256[:12]}"
    pieces: list[NDArray[np.float32]] = []
    length = 0
    try:
        for piece in _samples(medium.read(), rate, name):
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST * rate:
                raise MediaError(f"{name} lasts longer than {LONGEST // 3600} hours")
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise MediaError(f"{name} cannot be decoded ({error})") from error
    if not length:
        raise MediaError(f"{name} holds no sound")
    return np.concatenate(pieces)


def _samples(data: bytes, rate: int, name: str) -> Iterator[NDArray[np.float32]]:
    import av

    with av.open(io.BytesIO(data), mode="r") as container:
        if not container.streams.audio:
            raise MediaError(f"{name} holds no sound")
        # Channels stay apart here: FFmpeg mixes two into one that is louder than either.
        resampler = av.AudioResampler(format="fltp", rate=rate)
        for frame in chain(container.decode(container.streams.audio[0]), (None,)):
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray().mean(axis=0, dtype=np.float32)
