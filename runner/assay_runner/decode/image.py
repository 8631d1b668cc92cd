"""Pictures as models read them: upright, in RGB, on white where they are transparent."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from assay_runner.media import Media, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 100_000_000
"""Pixels of a picture at most: more would take gigabytes."""
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


def decode_image(medium: Media) -> Image:
    """The picture in RGB, turned as its EXIF data say; of an animation the first frame.

    Raises:
        MediaError: it cannot be read or decoded, or is too large.
    """
    from PIL import Image, ImageOps

    name = f"the image {medium.sha256[:12]}"
    try:
        with warnings.catch_warnings():
            # Its own limit is lower, and a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(medium.read()))
        with opened:
            width, height = opened.size
            if width * height > LARGEST:
                raise MediaError(f"{name} has {width} x {height} pixels, more than {LARGEST:,} can be")
            opened.load()
            return _in_rgb(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(f"{name} cannot be decoded ({error})") from error


def _in_rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode in _DEEP:
        # The upper half of 16 bits: a plain conversion would clip instead.
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture.convert("RGB")
