"""How busy an engine is kept while media of every kind are decoded for it.

The engine is a stub of fixed service time that takes so many requests at a time, as a GPU's would; all before it is what
runs before vLLM and SGLang: prompts, decoding processes, queues. Each medium is another one, so nothing is decoded once
for several requests.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
import wave
from collections.abc import AsyncIterator, Sequence

import av
import numpy as np
from PIL import Image

from assay_runner.backends.base import Batch, Generation, Message, ModelContext, Request, Response, Text
from assay_runner.backends.engine_backend import BATCH, EngineBackend
from assay_runner.backends.engine_prompts import Prompt
from assay_runner.backends.media_arguments import video_pins
from assay_runner.cores import usable_cores
from assay_runner.decode.request import Opened
from assay_runner.media import Media, from_bytes
from benchmarks.process_tree import measured

_WIDTH, _SECONDS = 16, 0.8
"""Requests at a time, and seconds for each: 20 a second."""
_SIDE, _SMALL = 336, 48
"""Of pictures, in pixels."""


def stages(count: int = 1200) -> dict[str, object]:
    """The share of its places that the engine had filled, from when it was full for the first time until it took the last
    request: what comes after that no stage could fill. `busy_with_ends` is from the first request to the last answer."""
    engine = _Engine(_WIDTH, _SECONDS)
    answered, errors = asyncio.run(_run(engine, count, _SIDE))
    spans = sorted(engine.spans)
    full, last = spans[_WIDTH - 1][0], spans[-1][0]
    began, ended = spans[0][0], max(end for _, end in spans)
    return {
        "requests": answered,
        "errors": errors,
        "busy": _share(spans, full, last),
        "wanted_busy": 0.99,
        "busy_with_ends": _share(spans, began, ended),
        "requests_per_second": round(answered / (ended - began), 1),
        "limit_requests_per_second": _WIDTH / _SECONDS,
        "decoding_seconds": round(engine.decoded, 1),
    }


def decoding(count: int = 100_000) -> dict[str, object]:
    """The peak memory of decoding small media for `count` requests, an engine that answers at once taking them, beside that
    of a tenth of them."""
    peaks = {}
    for size in (count // 10, count):
        peaks[size] = measured([sys.executable, "-m", "benchmarks.stages", str(size)])
    few, many = peaks.values()
    return {
        "requests": count,
        "peak_mb_of_all_processes": many.peak_mb,
        "with_a_tenth_of_the_requests_mb": few.peak_mb,
        "ratio": round(many.peak_mb / few.peak_mb, 3),
        "requests_per_second": round(count / many.seconds),
    }


def _share(spans: Sequence[tuple[float, float]], began: float, ended: float) -> float:
    """Of the engine's places, over a time, those that were taken."""
    taken = sum(max(0.0, min(end, ended) - max(start, began)) for start, end in spans)
    return round(taken / (_WIDTH * (ended - began)), 4)


class _Engine:
    """Takes `width` requests at a time and needs `seconds` for each."""

    def __init__(self, width: int, seconds: float) -> None:
        self.width, self._seconds = width, seconds
        self._slots = asyncio.Semaphore(width)
        self.spans: list[tuple[float, float]] = []
        """When each request was taken and answered."""
        self.decoded = 0.0

    async def start(self) -> _Renderer:
        return _Renderer()

    async def answer(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response:
        assert opened is not None
        self.decoded += opened.seconds
        async with self._slots:
            taken = time.monotonic()
            await asyncio.sleep(self._seconds)
            self.spans.append((taken, time.monotonic()))
        return Response(request.key, text="yes")

    async def close(self) -> None:
        return


class _Instant(_Engine):
    """Takes and keeps no time."""

    async def answer(self, request: Request, prompt: Prompt, opened: Opened | None) -> Response:
        assert opened is not None
        return Response(request.key, text="yes")


class _Renderer:
    rate = 16_000

    def render(self, request: Request) -> Prompt:
        media = tuple(part for message in request.messages for part in message.parts if isinstance(part, Media))
        return Prompt("", (1,), media)


async def _run(engine: _Engine, count: int, side: int) -> tuple[int, int]:
    """So many requests were answered, and so many of them with an error."""
    pins = video_pins({"video_frames": 8})
    context = ModelContext("stub", None, {}, pins, 0, batch_size=BATCH, cores=usable_cores())
    backend = EngineBackend(context, engine, time.monotonic)  # type: ignore[arg-type]
    await backend.start()
    try:
        answered = errors = 0
        async for response in backend.stream(_batches(count, side)):
            answered += 1
            errors += response.error is not None
    finally:
        await backend.close()
    return answered, errors


async def _batches(count: int, side: int) -> AsyncIterator[Batch]:
    for start in range(0, count, BATCH):
        numbers = range(start, min(count, start + BATCH))
        media = await asyncio.to_thread(_make, numbers, side)
        yield tuple(map(_request, numbers, media))


def _make(numbers: range, side: int) -> list[Media]:
    makers = (_picture, _sound, _video)
    return [makers[number % 3](number, side) for number in numbers]


def _request(number: int, medium: Media) -> Request:
    return Request(str(number), "generate", (Message("user", (medium, Text("?"))),), None, None, Generation(8), 0)


def _picture(number: int, side: int) -> Media:
    buffer = io.BytesIO()
    Image.fromarray(_noise(number, side)).save(buffer, "JPEG")
    return from_bytes(buffer.getvalue())


def _sound(number: int, side: int) -> Media:
    """Three seconds, less for smaller media."""
    buffer = io.BytesIO()
    samples = np.random.default_rng(number).integers(-9000, 9000, 3 * 44_100 * side // _SIDE, dtype=np.int16)
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(samples.tobytes())
    return from_bytes(buffer.getvalue())


def _video(number: int, side: int) -> Media:
    """Two seconds; what differs between two of them is a comment, since encoding would cost more than decoding does."""
    global _ENCODED
    if not _ENCODED:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
            for frame in range(50):
                picture = np.roll(_noise(0, side), frame, axis=0)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode(None))
        _ENCODED = buffer.getvalue()
    note = str(number).encode()
    return from_bytes(_ENCODED + (8 + len(note)).to_bytes(4, "big") + b"free" + note)


_ENCODED = b""


def _noise(number: int, side: int) -> np.ndarray:
    small = np.random.default_rng(number).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


if __name__ == "__main__":
    answered, errors = asyncio.run(_run(_Instant(_WIDTH, 0.0), int(sys.argv[1]), _SMALL))
    assert (answered, errors) == (int(sys.argv[1]), 0)
