"""Speech through an endpoint: recordings travel as they are encoded, and the word error rate is the library's."""

import base64
import hashlib
import json
import math
import struct
import subprocess
import sys
import wave

import jiwer
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from support.endpoint import MODEL, TestEndpoint, reply

SPOKEN = ["Mr. Smith's colour is grey.", "It costs twenty one dollars", "she had 3 apples, didn't she?", "good morning"]
HEARD = ["mister smith's color is gray", "it cost $21", "she had three apples did she", "good evening"]


def recording(path, pitch: int) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(
            b"".join(struct.pack("<h", int(9000 * math.sin(n * pitch / 16000 * 6.283))) for n in range(1600))
        )
    return path.read_bytes()


def test_a_folder_of_recordings_is_transcribed_and_scored(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    sounds = [recording(folder / f"{number}.wav", 220 * (number + 1)) for number in range(len(SPOKEN))]
    rows = [{"file_name": f"{number}.wav", "text": text} for number, text in enumerate(SPOKEN)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text(
        f"task: mine\ninclude: asr_wer\ndataset_path: {folder}\ndataset_name: null\n"
    )
    heard = {hashlib.sha256(sound).hexdigest(): text for sound, text in zip(sounds, HEARD, strict=True)}

    async def listen(path, body):
        audio = next(part["input_audio"] for part in body["messages"][-1]["content"] if part["type"] == "input_audio")
        assert audio["format"] == "wav"
        return reply(path, heard[hashlib.sha256(base64.b64decode(audio["data"])).hexdigest()], "stop", 100, 5)

    with TestEndpoint(answer=listen) as endpoint:
        spec = {
            "model": {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
            "tasks": [{"name": "mine"}],
            "taskSources": [{"uri": "tasks"}],
        }
        job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "speech"}, "spec": spec}
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        command = [sys.executable, "-m", "assay_runner", "run", "job.yaml", "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = {metric["metric"]: metric for metric in json.loads(done.stdout)["tasks"][0]["metrics"]}
    normal = EnglishTextNormalizer()
    expected = jiwer.wer([normal(text) for text in SPOKEN], [normal(text) for text in HEARD])
    assert 0 < expected < 1
    assert metrics["wer"]["value"] == pytest.approx(expected, abs=1e-12)
    assert metrics["wer"]["method"] == "bootstrap" and metrics["wer"]["higher_is_better"] is False
