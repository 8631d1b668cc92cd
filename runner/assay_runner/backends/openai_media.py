"""Media that a server would not take, converted before a request is written: in processes of their own, each within its time,
so that a picture that is none, or a video without an end, is one error row and holds up nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from assay_runner.backends.base import Batch, Message, Part, Request, ResponseError, Text
from assay_runner.decode.convert import Converted, convert, is_taken
from assay_runner.decode.sampling import Sampling
from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from assay_runner.decode.pool import Decoders

SECONDS = 60.0
"""For one medium."""

Places = tuple[tuple[int, ...], ...]
"""Of each video of a request, the frames that are sent."""


class Conversions:
    """Makes requests of one server ready to be written."""

    def __init__(self, processes: int, sampling: Sampling | None, seconds: float = SECONDS) -> None:
        """`sampling` is given where videos go as frames."""
        self._sampling = sampling
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

    async def ready(self, batch: Batch) -> list[tuple[Request, Places | ResponseError]]:
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
            return await self._started().run(convert, portable, self._sampling)
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


def _replaced(request: Request, found: dict[str, Converted | ResponseError]) -> tuple[Request, Places | ResponseError]:
    messages: list[Message] = []
    places: list[tuple[int, ...]] = []
    for message in request.messages:
        parts: list[Part] = []
        for part in message.parts:
            converted = None if isinstance(part, Text) else found.get(part.sha256)
            if isinstance(converted, ResponseError):
                return request, converted
            parts += [part] if converted is None else converted.media
            if converted is not None and converted.places is not None:
                places.append(converted.places)
        messages.append(replace(message, parts=tuple(parts)))
    return replace(request, messages=tuple(messages)), tuple(places)
