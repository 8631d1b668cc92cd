"""The media of a batch, opened at once."""

import asyncio
import io
import wave
from collections.abc import Mapping
from fractions import Fraction

import pytest
from PIL import Image

from assay_runner.backends import media_opening
from assay_runner.backends.media_opening import Found, MediaOpening
from assay_runner.decode.pool import Decoders
from assay_runner.decode.request import Opened, Wanted
from assay_runner.decode.sampling import Sampling
from assay_runner.media import Media, MediaError, from_bytes
from support import decoding

WANTED = Wanted(Sampling(fps=Fraction(1)), 16_000)


def picture(seed: int) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (seed, 0, 0)).save(buffer, "PNG")
    return from_bytes(buffer.getvalue())


def sound() -> Media:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    return from_bytes(out.getvalue())


def opened(media: Mapping[str, tuple[Media, ...]], seconds: float = 60) -> dict[str, Found]:
    async def scenario() -> dict[str, Found]:
        with Decoders(2, seconds) as decoders:
            return await MediaOpening(decoders, 2, WANTED).open(media)

    return asyncio.run(scenario())


class Gone:
    """A place that gives nothing any more."""

    def read(self) -> bytes:
        raise MediaError("it is gone")


def test_each_request_gets_its_own_media_in_their_order_or_their_error() -> None:
    broken = from_bytes(picture(9).read()[:40])
    gone = Media("image", "image/png", "0" * 64, 100, Gone())
    found = opened(
        {
            "two": (picture(1), picture(2)),
            "none": (),
            "again": (picture(2),),
            "mixed": (sound(), picture(3)),
            "broken": (picture(4), broken),
            "gone": (gone,),
        }
    )
    assert found.keys() == {"two", "again", "mixed", "broken", "gone"}
    two, again, mixed = found["two"], found["again"], found["mixed"]
    assert isinstance(two, Opened) and isinstance(again, Opened) and isinstance(mixed, Opened)
    assert [one.getpixel((0, 0))[0] for one in two.media] == [1, 2]  # type: ignore[union-attr]
    assert [one.getpixel((0, 0))[0] for one in again.media] == [2]  # type: ignore[union-attr]
    assert len(mixed.media[0]) == 1600  # type: ignore[arg-type]
    assert isinstance(found["broken"], MediaError) and "cannot be decoded" in str(found["broken"])
    assert isinstance(found["gone"], MediaError) and "it is gone" in str(found["gone"])


def test_a_picture_that_takes_its_decoder_down_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_opening, "decode_each", decoding.die_for_many)
    monkeypatch.setattr(media_opening, "decode_media", decoding.die_for_red)
    found = opened({str(seed): (picture(seed),) for seed in (0, 1, 255, 2)})
    assert [key for key, one in found.items() if isinstance(one, MediaError)] == ["255"]
    assert "ended its process" in str(found["255"])
