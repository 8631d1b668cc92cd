"""Real models that hear and read, behind an endpoint, score on real speech and on pictures of text what they should.

`make models` installs the models; the speech is Debian's package pocketsphinx-testdata (a reading of Jane Austen by
LibriVox, in the public domain), or lies in the folder that ASSAY_SPEECH names.
"""

import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-models" / "bin" / "python"
SPEECH = Path(os.environ.get("ASSAY_SPEECH", "/usr/share/pocketsphinx/test/data/librivox"))
LINES = [
    "NO PARKING AT ANY TIME",
    "Open from 9 to 5",
    "The quick brown fox jumps over the lazy dog",
    "Platform 12",
    "Fresh bread every morning",
    "Please keep the door closed",
]


@pytest.fixture
def serve():
    """Start a model's server; returns its address."""
    if not PYTHON.exists():
        pytest.skip("the models are not installed: make models")
    running = []

    def start(model):
        command = [str(PYTHON), "-m", "support.small_models", model]
        running.append(subprocess.Popen(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True))
        return running[-1].stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.wait()


def run(assay, folder, url, task):
    job = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "EvalJob",
        "metadata": {"name": "small"},
        "spec": {
            "model": {"backend": "openai", "name": "stub", "endpoint": {"url": url, "maxConcurrency": 4}},
            "tasks": [{"name": task["task"]}],
            "taskSources": [{"uri": str(folder)}],
        },
    }
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    (folder.parent / "job.yaml").write_text(json.dumps(job))
    done = assay("run", folder.parent / "job.yaml", "--workers", 2, "--json", check=0)
    return json.loads(done.stdout)["tasks"][0]


def value(found, name):
    [metric] = [metric for metric in found["metrics"] if metric["metric"] == name]
    return metric["value"]


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_whisper_base_hears_every_word_of_real_speech(assay, serve, tmp_path, suffix):
    """As they are, and made into WAV on the way. The one error among 71 words is the reference's ("a more a amiable")."""
    if not (SPEECH / "transcription").exists():
        pytest.skip(f"there is no speech in {SPEECH}: apt install pocketsphinx-testdata, or set ASSAY_SPEECH")
    import soundfile

    folder = tmp_path / "speech"
    folder.mkdir()
    rows = []
    for line in (SPEECH / "transcription").read_text().splitlines():
        text, name = re.fullmatch(r"<s> (.*) </s> \((.*)\)", line.strip()).groups()
        samples, rate = soundfile.read(SPEECH / f"{name}.wav", dtype="int16")
        soundfile.write(folder / f"{name}.{suffix}", samples, rate)
        rows.append({"audio": f"{name}.{suffix}", "text": text})
    (folder / "speech.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run(
        assay,
        folder,
        serve("whisper"),
        {
            "task": "austen",
            "include": "asr_wer",
            "dataset_path": "./speech.jsonl",
            "dataset_name": None,
            "media": {"audio": "{{ audio }}"},
        },
    )
    assert value(found, "wer") == pytest.approx(1 / 71, abs=1e-9)


def test_rapidocr_reads_printed_lines(assay, serve, tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    for number, line in enumerate(LINES):
        (folder / f"{number}.tif").write_bytes(printed(line))
    (folder / "lines.jsonl").write_text(
        "".join(json.dumps({"id": n, "text": line}) + "\n" for n, line in enumerate(LINES))
    )
    found = run(
        assay,
        folder,
        serve("ocr"),
        {
            "task": "lines",
            "dataset_path": "./lines.jsonl",
            "test_split": "test",
            "media": {"image": "{{ id }}.tif"},
            "output_type": "generate_until",
            "doc_to_messages": [
                {"role": "user", "content": [{"type": "image", "image": "image"}, {"type": "text", "text": "Read."}]}
            ],
            "doc_to_target": "text",
            "generation_kwargs": {"max_new_tokens": 64, "temperature": 0},
            "metric_list": [{"metric": "cer", "aggregation": "cer", "higher_is_better": False}],
        },
    )
    assert value(found, "cer") < 0.1


def printed(line):
    picture = Image.new("RGB", (900, 120), "white")
    ImageDraw.Draw(picture).text((30, 30), line, "black", ImageFont.load_default(40))
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF")
    return buffer.getvalue()
