"""Media between Assay and a task's Python: what a function is handed, and what it hands back.

Functions written for lmms-eval expect PIL images, audio as {array, sampling_rate, path} and videos as paths. An image that
comes back untouched keeps its original bytes; a new one is encoded as PNG with fixed settings.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay_runner.media import Media, MediaError, from_bytes, from_file
from assay_runner.tasks.errors import TaskError


class Handed:
    """Turns one document into what a function may touch, and remembers which medium each object came from."""

    def __init__(self) -> None:
        self._given: list[tuple[Any, Media]] = []

    def document(self, doc: Mapping[str, Any], *, media: bool = True) -> dict[str, Any]:
        """A copy of the document of its own for one call; without `media`, columns that are media are left out."""
        return {name: self._python(value) for name, value in doc.items() if media or not isinstance(value, Media)}

    def medium(self, value: Any) -> Media:
        """The medium that a function handed back.

        Raises:
            TaskError: it is nothing that can be sent to a model.
        """
        for given, medium in self._given:
            if given is value:
                return medium
        try:
            return _encoded(value)
        except MediaError as error:
            raise TaskError("MediaError", str(error)) from error

    def _python(self, value: Any) -> Any:
        if isinstance(value, Media):
            opened = _opened(value)
            self._given.append((opened, value))
            return opened
        if isinstance(value, Mapping):
            return {name: self._python(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._python(inner) for inner in value]
        return value


def _opened(medium: Media) -> Any:
    try:
        if medium.kind == "image":
            from PIL import Image

            return Image.open(io.BytesIO(medium.read()))
        if medium.kind == "audio":
            import soundfile

            array, rate = soundfile.read(io.BytesIO(medium.read()))
            return {"array": array, "sampling_rate": rate, "path": None}
    except (MediaError, OSError, RuntimeError, ValueError) as error:
        raise TaskError("MediaError", f"the {medium.kind} cannot be opened: {error}") from error
    if isinstance(medium.source, Path):
        return str(medium.source)
    raise TaskError("MediaError", "a video that is not in a file cannot be handed to the task's Python")


def _encoded(value: Any) -> Media:
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return from_bytes(value)
    if isinstance(value, Path) or (isinstance(value, str) and "://" not in value):
        return from_file(Path(value))
    if isinstance(value, Mapping) and "array" in value:
        return _wave(value)
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        image = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else value.convert("RGB")
        image.save(buffer, format="PNG", compress_level=6, optimize=False)
        return from_bytes(buffer.getvalue())
    raise TaskError("MediaError", f"the task handed back {str(value)[:60]!r}, which is no image, audio or file")


def _wave(value: Mapping[str, Any]) -> Media:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, value["array"], int(value["sampling_rate"]), format="WAV", subtype="PCM_16")
    return from_bytes(buffer.getvalue())
