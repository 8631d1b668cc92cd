"""What servers read goes as it is; the rest becomes what they read, and nothing of it is lost on the way."""

import io
import wave
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from assay_runner.decode.audio import decode_audio
from assay_runner.decode.convert import convert, is_taken
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.video import decode_video
from assay_runner.media import from_bytes
from support.recordings import tone, video


def picture(kind, mode="RGB"):
    buffer = io.BytesIO()
    pixels = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return from_bytes(buffer.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_usual_pictures_go_as_they_are(kind):
    assert is_taken(picture(kind), None)


def test_usual_sounds_go_as_they_are_and_videos_unless_frames_are_wanted():
    assert is_taken(from_bytes(tone("wav", "pcm_s16le", 16000)), None)
    assert is_taken(from_bytes(video()), None)
    assert not is_taken(from_bytes(video()), Sampling(frames=4))


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_other_pictures_become_png_without_loss(kind):
    given = picture(kind)
    assert not is_taken(given, None)
    [made] = convert(given, None).media
    assert made.mime == "image/png"
    with Image.open(io.BytesIO(made.read())) as shown, Image.open(io.BytesIO(given.read())) as original:
        assert np.array_equal(np.asarray(shown), np.asarray(original.convert("RGB")))


@pytest.mark.parametrize(("container", "codec", "rate"), [("flac", "flac", 44100), ("ogg", "libopus", 48000)])
def test_other_sounds_become_wav_at_their_own_rate(container, codec, rate):
    given = from_bytes(tone(container, codec, rate, channels=2))
    [made] = convert(given, None).media
    assert made.mime == "audio/wav"
    with wave.open(io.BytesIO(made.read())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, 1, 2)
    samples = decode_audio(given, rate)
    assert np.abs(decode_audio(made, rate) - samples).max() < 1 / 32000


def test_frames_are_the_samplings_and_their_places_are_told():
    sampling = Sampling(fps=Fraction(2), most=5)
    given = from_bytes(video())
    made = convert(given, sampling)
    shown = decode_video(given, sampling)
    assert made.places == shown.places and len(made.places) == 5
    assert [one.mime for one in made.media] == ["image/jpeg"] * 5
    for one, frame in zip(made.media, shown.pictures, strict=True):
        with Image.open(io.BytesIO(one.read())) as opened:
            assert np.abs(np.asarray(opened).astype(int) - frame).mean() < 3


def test_the_same_medium_becomes_the_same_bytes():
    assert convert(from_bytes(video()), Sampling(frames=3)) == convert(from_bytes(video()), Sampling(frames=3))
