"""Media that a server would not take, converted before a request is written: in processes of their own, each within its time,
so that a picture that is none, or a video without an end, is one error row and holds up nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from assay_runner.backends.base import Batch, Message, Part, Request, ResponseError, Text
from assay_runner.decode.convert import Converted, convert, is_taken
from assay_runner.decode.sampling import Sampling
from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from assay_runner.decode.pool import Decoders
    from assay_runner.decode.video import Decoder

SECONDS = 60.0
"""For one medium."""


class Sendable(NamedTuple):
    """A request with media as the server takes them, or why it has none."""

    request: Request
    fault: ResponseError | None = None
    frames: tuple[tuple[int, ...], ...] = ()
    """Of each video, the places of the frames that are sent."""
    seconds: float = 0.0
    """That conversion took."""


class Conversions:
    """Makes requests of one server ready to be written."""

    def __init__(
        self, processes: int, sampling: Sampling | None, seconds: float = SECONDS, decoder: Decoder = "pyav"
    ) -> None:
        """`sampling` is given where videos go as frames, which `decoder` decodes."""
        self._sampling, self._decoder = sampling, decoder
        self._processes, self._seconds = processes, seconds
        self._decoders: Decoders | None = None

    def needed(self, batch: Batch) -> bool:
        """Whether a request of it holds a medium that does not go as it is."""
        return any(
            isinstance(part, Media) and not is_taken(part, self._sampling)
            for request in batch
            for message in request.messages
            for part in message.parts
        )

    async def ready(self, batch: Batch) -> list[Sendable]:
        """The requests with their media converted, or why one cannot be."""
        wanted = {
            part.sha256: part
            for request in batch
            for message in request.messages
            for part in message.parts
            if isinstance(part, Media) and not is_taken(part, self._sampling)
        }
        found = await asyncio.gather(*(self._converted(medium) for medium in wanted.values()))
        by_digest = dict(zip(wanted, found, strict=True))
        return [_replaced(request, by_digest) for request in batch]

    async def _converted(self, medium: Media) -> Converted | ResponseError:
        try:
            portable = await asyncio.to_thread(medium.portable)
            return await self._started().run(convert, portable, self._sampling, self._decoder)
        except MediaError as error:
            return ResponseError("MediaError", str(error))

    def _started(self) -> Decoders:
        # Most runs convert nothing, and start sooner without the library.
        from assay_runner.decode.pool import Decoders

        if self._decoders is None:
            self._decoders = Decoders(self._processes, self._seconds)
        return self._decoders

    def close(self) -> None:
        """End the processes; safe to call twice."""
        if self._decoders is not None:
            self._decoders.close()


def _replaced(request: Request, found: dict[str, Converted | ResponseError]) -> Sendable:
    messages: list[Message] = []
    used: list[Converted] = []
    for message in request.messages:
        parts: list[Part] = []
        for part in message.parts:
            converted = None if isinstance(part, Text) else found.get(part.sha256)
            if isinstance(converted, ResponseError):
                return Sendable(request, converted)
            if converted is None:
                parts.append(part)
            else:
                parts += converted.media
                used.append(converted)
        messages.append(replace(message, parts=tuple(parts)))
    frames = tuple(one.places for one in used if one.places is not None)
    return Sendable(replace(request, messages=tuple(messages)), None, frames, sum(one.seconds for one in used))
