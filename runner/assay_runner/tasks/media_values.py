"""Media between Assay and a task's Python: what a function is handed, and what it hands back.

Functions written for lmms-eval expect PIL images, audio as {array, sampling_rate, path} and videos as paths. An image
that comes back untouched keeps its original bytes; a new or changed one is encoded as PNG with fixed settings.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from assay_api.errors import AssayError, SpecError
from assay_runner.media import Media, MediaError, from_bytes, from_file
from assay_runner.tasks.errors import TaskError

_KEPT_VIDEOS = 8
"""Videos that stay on disk between calls: the hooks of one document ask for the same ones, and a dataset's do not fit."""
_VIDEOS: dict[str, Path] = {}
"""Digest → file, the latest used last."""
_SCALARS = (str, int, float, bytes, type(None))
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


class Handed:
    """Turns one document into what a function may touch, and remembers which medium each object came from."""

    def __init__(self) -> None:
        self._given: list[tuple[Any, Media]] = []

    def document(self, doc: Mapping[str, Any], *, media: bool = True) -> dict[str, Any]:
        """A copy of the document of its own for one call; without `media`, columns that hold media are left out.

        Raises:
            TaskError: a medium cannot be opened.
            SpecError: the library that opens it is not installed.
        """
        _drop_old_videos()
        return {name: self._python(value) for name, value in doc.items() if media or not holds_media(value)}

    def medium(self, value: Any) -> Media:
        """The medium that a function handed back.

        Raises:
            TaskError: it is nothing that can be sent to a model.
        """
        for given, medium in self._given:
            if _still_shows(value, given, medium):
                return medium
        try:
            return _encoded(value)
        except (MediaError, OSError, ValueError, TypeError) as error:
            raise TaskError("MediaError", f"what the task handed back cannot be encoded: {error}") from error

    def _python(self, value: Any) -> Any:
        if isinstance(value, _SCALARS):
            return value
        if isinstance(value, Media):
            opened = _opened(value)
            self._given.append((opened, value))
            return opened
        if isinstance(value, Mapping):
            return {name: self._python(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._python(inner) for inner in value]
        return value


def holds_media(value: Any) -> bool:
    """Whether a value is a medium, or holds one at any depth."""
    if isinstance(value, _SCALARS):
        return False
    if isinstance(value, Mapping):
        return any(holds_media(inner) for inner in value.values())
    return isinstance(value, Media) or (isinstance(value, list) and any(holds_media(inner) for inner in value))


def _opened(medium: Media) -> Any:
    try:
        if medium.kind == "image":
            return _image(medium)
        if medium.kind == "audio":
            return _audio(medium)
        return str(medium.source) if isinstance(medium.source, Path) else _spilled(medium)
    except ImportError as error:
        raise SpecError(
            "task code", error.name or "", f"opening {medium.kind} needs it", "pip install 'assay[media]'"
        ) from error
    except AssayError:
        raise  # the store is away, or not what was planned: no fault of this medium
    # Decoders raise whatever they raise on bytes that are no image or sound.
    except Exception as error:
        raise TaskError("MediaError", f"the {medium.kind} cannot be opened: {error}") from error


def _image(medium: Media) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(medium.read()))


def _audio(medium: Media) -> dict[str, Any]:
    import soundfile

    array, rate = soundfile.read(io.BytesIO(medium.read()))
    return {"array": array, "sampling_rate": rate, "path": None}


def _spilled(medium: Media) -> str:
    path = _VIDEOS.pop(medium.sha256, None)
    if path is None:
        path = Path(_spill_folder().name) / f"{medium.sha256}.{medium.mime.rpartition('/')[2]}"
        path.write_bytes(medium.read())
    _VIDEOS[medium.sha256] = path
    return str(path)


def _drop_old_videos() -> None:
    for sha256 in list(_VIDEOS)[:-_KEPT_VIDEOS]:
        _VIDEOS.pop(sha256).unlink(missing_ok=True)


@cache
def _spill_folder() -> tempfile.TemporaryDirectory[str]:
    """Videos of this process for functions that want a path; gone when it ends."""
    return tempfile.TemporaryDirectory(prefix="assay-video-")


def _still_shows(value: Any, given: Any, medium: Media) -> bool:
    """Whether what a function handed back is the medium as it was: functions draw on pictures, and convert what is RGB
    already. The original bytes are smaller and need no encoding."""
    if medium.kind == "image":
        # Pillow forgets an image's `tile` when it decodes it; before that nobody can have changed a pixel.
        return bool(value is given and getattr(value, "tile", None)) or _same_picture(value, medium)
    if medium.kind == "audio":
        return value is given and _same_sound(value, _audio(medium))
    return bool(isinstance(value, str) and value == given)


def _same_picture(value: Any, medium: Media) -> bool:
    if not hasattr(value, "tobytes") or not hasattr(value, "mode"):
        return False
    original = _image(medium)
    if (value.mode, value.size) != (original.mode, original.size) or value.mode not in ("1", "L", "RGB", "RGBA"):
        return False
    return "transparency" not in original.info and bool(value.tobytes() == original.tobytes())


def _same_sound(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    import numpy

    return one["sampling_rate"] == other["sampling_rate"] and bool(numpy.array_equal(one["array"], other["array"]))


def _encoded(value: Any) -> Media:
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return from_bytes(value)
    if isinstance(value, Path) or (isinstance(value, str) and "://" not in value):
        return from_file(Path(value))
    if isinstance(value, Mapping) and "array" in value:
        return _wave(value)
    if isinstance(value, Mapping) and set(value) <= {"type", "url"} and "url" in value:
        return _encoded(value["url"])
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        image = value if value.mode in _PNG_MODES else value.convert("RGB")
        image.save(buffer, format="PNG", compress_level=6, optimize=False)
        return from_bytes(buffer.getvalue())
    raise MediaError(f"{str(value)[:60]!r} is no image, sound or file")


def _wave(value: Mapping[str, Any]) -> Media:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, value["array"], int(value["sampling_rate"]), format="WAV", subtype="PCM_16")
    return from_bytes(buffer.getvalue())
