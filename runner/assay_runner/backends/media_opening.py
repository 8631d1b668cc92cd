"""The media of a batch, decoded ahead of the model in the processes of `Decoders`. All requests of a batch go there at once;
small pictures go in few calls, because the way there takes longer than they do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay_runner.decode.pool import Decoders
from assay_runner.decode.request import Opened, Wanted, decode_each, decode_media
from assay_runner.media import Media, MediaError

PATIENCE = 60.0
"""Seconds that the media of one request may take."""
_SMALL = 256 << 10
"""Bytes of a picture that goes with others."""

Found = Opened | MediaError
_Key = tuple[str, ...]


class MediaOpening:
    """Opens batches of media."""

    def __init__(self, decoders: Decoders, processes: int, wanted: Wanted) -> None:
        """`processes` is how many `decoders` has."""
        self._decoders, self._processes, self._wanted = decoders, processes, wanted

    async def open(self, media: Mapping[str, tuple[Media, ...]]) -> dict[str, Found]:
        """Each request's media, decoded, or why they are not; a request without any is left out. What several requests
        have in common is decoded once.

        Args:
            media: request → its media.
        """
        keys = {request: tuple(f"{one.kind}:{one.sha256}" for one in some) for request, some in media.items() if some}
        wanted: dict[_Key, tuple[Media, ...]] = {}
        for request, key in keys.items():
            wanted.setdefault(key, media[request])
        small = [key for key, some in wanted.items() if _is_small(some)]
        large = [key for key in wanted if key not in set(small)]
        share = -(-len(small) // self._processes)
        calls = [
            self._together({key: wanted[key] for key in small[at : at + share]})
            for at in range(0, len(small), share or 1)
        ]
        calls += [self._together({key: wanted[key]}) for key in large]
        found: dict[_Key, Found] = {}
        for some in await asyncio.gather(*calls):
            found |= some
        return {request: found[key] for request, key in keys.items()}

    async def _together(self, wanted: Mapping[_Key, tuple[Media, ...]]) -> dict[_Key, Found]:
        """Media that go in one call. When that fails, each goes in its own: the time and the process are its alone then."""
        portable: dict[_Key, tuple[Media, ...]] = {}
        found: dict[_Key, Found] = {}
        for key, some in wanted.items():
            try:
                portable[key] = await _portable(some)
            except MediaError as error:
                found[key] = error
        if len(portable) > 1:
            try:
                opened = await self._decoders.run(decode_each, tuple(portable.values()), self._wanted)
                return found | dict(zip(portable, opened, strict=True))
            except MediaError:
                pass
        for key, some in portable.items():
            found[key] = await self._alone(some)
        return found

    async def _alone(self, media: tuple[Media, ...]) -> Found:
        try:
            return await self._decoders.run(decode_media, media, self._wanted)
        except MediaError as error:
            return error


def _is_small(media: Sequence[Media]) -> bool:
    return all(one.kind == "image" for one in media) and sum(one.size for one in media) <= _SMALL


async def _portable(media: tuple[Media, ...]) -> tuple[Media, ...]:
    if all(isinstance(one.source, bytes | Path) for one in media):
        return media
    return await asyncio.to_thread(lambda: tuple(one.portable() for one in media))
