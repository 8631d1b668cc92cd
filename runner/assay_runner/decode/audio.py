"""Sound as models read it: one channel at the rate that they want, by PyAV and FFmpeg's resampler."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

LONGEST = 6 * 3600
"""Seconds of sound at most."""


def decode_audio(medium: Media, rate: int) -> NDArray[np.float32]:
    """Samples from −1 to 1 at `rate` per second; of several channels their mean. Of a video, its sound.

    Raises:
        MediaError: it cannot be read or decoded, holds no sound, or too much of it.
    """
    pieces: list[NDArray[np.float32]] = []
    length = 0
    with _opened(medium) as (container, stream):
        for piece in _samples(container, stream, rate):
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST * rate:
                raise _UndecodableError(f"it lasts longer than {LONGEST // 3600} hours")
        if not length:
            raise _UndecodableError("it holds no sound")
    return np.concatenate(pieces)


def own_rate(medium: Media) -> int:
    """Samples per second of a medium's own.

    Raises:
        MediaError: it cannot be read, or holds no sound.
    """
    with _opened(medium) as (_, stream):
        return int(stream.rate)


class _UndecodableError(Exception):
    """Why there is no sound to be had; a clause."""


@contextmanager
def _opened(medium: Media) -> Iterator[tuple[InputContainer, AudioStream]]:
    import av

    name = f"the {medium.kind} {medium.sha256[:12]}"
    try:
        with av.open(io.BytesIO(medium.read()), mode="r") as container:
            if not container.streams.audio:
                raise _UndecodableError("it holds no sound")
            yield container, container.streams.audio[0]
    except _UndecodableError as error:
        raise MediaError(f"{name} cannot be decoded: {error}") from error
    except (av.FFmpegError, OSError, ValueError, EOFError, MemoryError) as error:
        raise MediaError(f"{name} cannot be decoded ({error})") from error


def _samples(container: InputContainer, stream: AudioStream, rate: int) -> Iterator[NDArray[np.float32]]:
    import av

    # Channels stay apart here: FFmpeg mixes two into one that is louder than either.
    resampler = av.AudioResampler(format="fltp", rate=rate)
    for frame in chain(container.decode(stream), (None,)):
        for resampled in resampler.resample(frame):
            yield resampled.to_ndarray().mean(axis=0, dtype=np.float32)
