"""Pictures become pixels, or an error of their own."""

import io
from typing import Any

import pytest
from PIL import Image

from assay_runner.backends.transformers_prompts import decode_image
from assay_runner.media import MediaError, from_bytes


def encoded(picture: Any, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def test_transparency_is_put_on_white() -> None:
    decoded = decode_image(from_bytes(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))))
    assert (decoded.mode, decoded.getpixel((0, 0))) == ("RGB", (255, 255, 255))


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode_image(from_bytes(encoded(Image.new(mode, (3, 5)), kind))).mode == "RGB"


@pytest.mark.parametrize("keep", [8, 20, 40, 200])
def test_a_truncated_picture_is_a_media_error(keep: int) -> None:
    data = encoded(Image.effect_noise((64, 64), 50))
    with pytest.raises(MediaError, match="cannot be decoded"):
        decode_image(from_bytes(data[:keep]))


def test_a_picture_that_would_fill_the_memory_is_a_media_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(MediaError):
        decode_image(from_bytes(encoded(Image.new("L", (100, 100)))))
