"""Media on their way into an engine: decoded ahead of it in bounded processes, and bounded in the bytes that wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from assay_runner.decode.pool import Decoders
from assay_runner.decode.request import Opened, Wanted, decode_media
from assay_runner.decode.video import Frames
from assay_runner.media import Media

if TYPE_CHECKING:
    from assay_runner.decode.request import Decoded

_MOST_BYTES = 2 << 30
"""Of decoded media that the engine has not answered for yet; what is being decoded comes on top."""
_SECONDS = 120.0
"""That decoding the media of one request may take."""


class MediaRoom:
    """Decodes media while there is room for what comes of them."""

    def __init__(self, cores: int, wanted: Wanted) -> None:
        processes = max(1, cores - 1)
        self._decoders, self._wanted = Decoders(processes, _SECONDS), wanted
        self._places = asyncio.Semaphore(processes)
        self._held = 0
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def opened(self, media: tuple[Media, ...]) -> AsyncIterator[Opened]:
        """A context with the media, decoded; their bytes count until it ends.

        Raises:
            MediaError: one cannot be read or decoded, or that took too long.
        """
        while self._held >= _MOST_BYTES:
            self._freed.clear()
            await self._freed.wait()
        async with self._places:
            portable = await asyncio.to_thread(lambda: tuple(medium.portable() for medium in media))
            opened = await self._decoders.run(decode_media, portable, self._wanted)
        size = sum(map(_bytes, opened.media))
        self._held += size
        try:
            yield opened
        finally:
            self._held -= size
            self._freed.set()

    def close(self) -> None:
        """End the processes."""
        self._decoders.close()


def _bytes(medium: Decoded) -> int:
    if isinstance(medium, Frames):
        return sum(picture.nbytes for picture in medium.pictures)
    if isinstance(medium, np.ndarray):
        return medium.nbytes
    return medium.width * medium.height * 3


def frames_and_facts(frames: Frames) -> tuple[Any, dict[str, Any]]:
    """A video as processors take it: frames × height × width × 3, and what they are told of the sampling that was done."""
    last, seconds = frames.places[-1], frames.seconds[-1]
    fps = last / seconds if seconds > 0 else 1.0
    facts = {
        "total_num_frames": last + 1,
        "fps": fps,
        "duration": (last + 1) / fps,
        "frames_indices": list(frames.places),
        "video_backend": "pyav",
        "do_sample_frames": False,
    }
    return np.stack(frames.pictures), facts
