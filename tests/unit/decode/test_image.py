"""Pictures come upright, in RGB, and no larger than memory bears."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from assay_runner.decode.image import decode_image
from assay_runner.media import MediaError, from_bytes


def encoded(picture, kind="PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(from_bytes(data)))


def test_a_picture_is_turned_as_its_camera_was_held():
    sideways = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8).repeat(8, 0).repeat(8, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decoded(encoded(sideways, "JPEG", exif=exif, quality=95, subsampling=0))
    assert found.shape == (16, 8, 3)
    assert found[2, 4, 0] > 200 > 60 > found[2, 4, 2] and found[13, 4, 2] > 200


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (2, 2), 100), (100, 100, 100)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 128)), (127, 127, 127)),
        (Image.new("LA", (2, 2), (50, 255)), (50, 50, 50)),
        (Image.fromarray(np.full((2, 2), 0x8000, dtype=np.uint16)), (128, 128, 128)),
        (Image.new("P", (2, 2), 0), (0, 0, 0)),
    ],
    ids=["grey", "bits", "clear", "half clear", "grey with alpha", "16 bits", "palette"],
)
def test_every_mode_becomes_rgb(picture, expected):
    assert tuple(decoded(encoded(picture))[1, 1]) == expected


def test_ink_becomes_light():
    assert (
        np.abs(
            decoded(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))[4, 4].astype(int) - (255, 0, 0)
        ).max()
        < 40
    )


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is so large and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_of_400_million_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(MediaError, match=r"20000 x 20000 pixels|cannot be decoded"):
        decoded(bomb(20_000, 20_000))


def test_a_truncated_picture_is_an_error():
    data = encoded(Image.effect_noise((64, 64), 50))
    with pytest.raises(MediaError, match=r"the image [0-9a-f]{12} cannot be decoded"):
        decoded(data[: len(data) // 2])
