"""Videos and sounds of any container and codec, made by PyAV."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np

COUNT = 75
"""Frames of a video."""


def video(
    container="mp4", codec="libx264", count=COUNT, gop=20, b_frames=3, rotation=0, uneven=False, **options: Any
) -> bytes:
    """Frames whose brightness rises from one to the next; `uneven`: each third is shown longer than others."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25, options={"g": str(gop), "bf": str(b_frames)} | options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            picture = np.full((48, 64, 3), 20 + 3 * number, dtype=np.uint8)
            picture[:24, :32] = 250
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if uneven:
                frame.pts, frame.time_base = number + 3 * (number // 3), Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()


def tone(container, codec, rate, channels=1, seconds=2.0, layout=None) -> bytes:
    """440 Hz at half loudness, the same in all channels."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout or ("mono" if channels == 1 else "stereo"))
        wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=stream.layout, rate=rate)
        data = np.repeat(wave.astype(np.float32)[None], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=stream.layout)
        frame.sample_rate = rate
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(converted))
        file.mux(stream.encode())
    return out.getvalue()
