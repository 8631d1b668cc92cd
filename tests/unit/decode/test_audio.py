"""Sound keeps its pitch, length and loudness through every format and rate."""

import numpy as np
import pytest

from assay_runner.decode.audio import decode_audio
from assay_runner.media import MediaError, from_bytes
from support.recordings import tone


@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels"),
    [
        ("wav", "pcm_s16le", 16000, 1),
        ("wav", "pcm_s16le", 44100, 2),
        ("flac", "flac", 48000, 2),
        ("mp3", "libmp3lame", 44100, 2),
        ("ogg", "libopus", 48000, 1),
        ("wav", "pcm_s16le", 8000, 1),
    ],
)
def test_a_tone_stays_a_tone(container, codec, rate, channels):
    found = decode_audio(from_bytes(tone(container, codec, rate, channels)), 16000)
    assert found.dtype == np.float32 and len(found) == pytest.approx(32000, abs=1600)
    middle = found[4000:28000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 16000 / len(middle) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)  # LAME takes 5 % off


def test_sound_at_its_own_rate_is_given_as_it_is():
    data = tone("wav", "pcm_s16le", 16000)
    exact = np.frombuffer(data[data.find(b"data") + 8 :], dtype="<i2") / np.float32(32768)
    np.testing.assert_array_equal(decode_audio(from_bytes(data), 16000), exact)


@pytest.mark.parametrize("cut", [60, 3000])
def test_sound_that_breaks_off_is_an_error_or_what_is_there(cut):
    data = tone("flac", "flac", 16000)[:cut]
    try:
        found = decode_audio(from_bytes(data), 16000)
    except MediaError as error:
        assert "the audio" in str(error)
    else:
        assert 0 < len(found) < 32000
