"""Media as the base64 text that requests carry; small ones are remembered, since questions often share an image."""

from __future__ import annotations

import base64
from collections import OrderedDict

from assay_runner.media import Media, MediaError

_SMALL = 256 << 10
_KEPT = 16 << 20


class MediaText:
    """Encodes media; used by one thread at a time."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._held = 0

    def of(self, medium: Media) -> str:
        """The base64 of the medium's encoded bytes.

        Raises:
            MediaError: it cannot be read, or is empty.
        """
        text = self._texts.get(medium.sha256)
        if text is not None:
            self._texts.move_to_end(medium.sha256)
            return text
        data = medium.read()
        if not data:
            raise MediaError("a medium is empty")
        text = base64.b64encode(data).decode("ascii")
        if len(text) <= _SMALL:
            self._texts[medium.sha256] = text
            self._held += len(text)
            while self._held > _KEPT:
                self._held -= len(self._texts.popitem(last=False)[1])
        return text
