"""Small clips and tones, encoded here."""

from __future__ import annotations

import io

import numpy as np

from assay_runner.media import Media, from_bytes


def clip(frames: int = 75, *, size: int = 64, seed: int = 0) -> Media:
    """A lossless video of squares whose colours change from frame to frame, 25 frames a second."""
    import av

    random = np.random.default_rng(seed)
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = size, size, "bgr0"
        for _ in range(frames):
            colours = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            picture = colours.repeat(size // 2, axis=0).repeat(size // 2, axis=1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return from_bytes(out.getvalue())


def noise(seconds: float, *, seed: int = 0, rate: int = 16_000) -> Media:
    """A WAV file of noise in 16 bits."""
    import wave

    samples = np.random.default_rng(seed).integers(-8000, 8000, int(seconds * rate), dtype=np.int16)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return from_bytes(out.getvalue())


def samples(medium: Media) -> np.ndarray:
    """What `noise` wrote, as numbers from -1 to 1."""
    import wave

    with wave.open(io.BytesIO(medium.read())) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16).astype(np.float32) / 32768
