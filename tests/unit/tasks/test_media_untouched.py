"""A picture that a function only converted or passed on travels as the file it was; a changed one does not."""

import io
from pathlib import Path

import pytest
from PIL import Image

from assay_runner.media import from_bytes

TASK = 'doc_to_text: "what?"\ndoc_to_visual: !function utils.see\n'


def jpeg(mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (40, 30), "teal")
    picture.paste("red", (5, 5, 20, 20))
    picture.convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def sent(task, data: bytes):
    (sample,) = task.build(0, {"image": from_bytes(data)}, [])
    return sample.requests[0].messages[0].parts[0]


@pytest.mark.parametrize("see", ["doc['image']", "doc['image'].convert('RGB')", "doc['image'].copy()"])
def test_an_unchanged_picture_keeps_its_bytes(tasks, see):
    data = jpeg()
    assert sent(tasks.task(TASK, f"def see(doc): return [{see}]"), data).read() == data


@pytest.mark.parametrize(
    "body",
    [
        "doc['image'].thumbnail((8, 8)); return [doc['image']]",
        "doc['image'].putpixel((0, 0), (1, 2, 3)); return [doc['image']]",
        "return [doc['image'].convert('L')]",
        "return [doc['image'].crop((0, 0, 10, 10))]",
    ],
)
def test_a_changed_picture_is_sent_as_it_is_now(tasks, body):
    data = jpeg()
    medium = sent(tasks.task(TASK, f"def see(doc):\n    {body}\n"), data)
    assert medium.mime == "image/png" and medium.read() != data


def test_a_grey_picture_made_rgb_is_encoded_anew(tasks):
    medium = sent(tasks.task(TASK, "def see(doc): return [doc['image'].convert('RGB')]"), jpeg("L"))
    assert medium.mime == "image/png" and Image.open(io.BytesIO(medium.read())).mode == "RGB"


def test_the_same_change_gives_the_same_bytes(tasks):
    task = tasks.task(TASK, "def see(doc): return [doc['image'].resize((7, 7))]")
    assert sent(task, jpeg()).sha256 == sent(task, jpeg()).sha256


def video(number: int):
    return from_bytes(b"\0\0\0\x18ftypisom" + number.to_bytes(4, "big") * 8)


def test_a_video_is_handed_over_as_a_file_and_comes_back_as_it_was(tasks):
    task = tasks.task(
        TASK, "def see(doc):\n    assert open(doc['image'], 'rb').read(8)[4:] == b'ftyp'\n    return [doc['image']]\n"
    )
    (sample,) = task.build(0, {"image": video(1)}, [])
    assert sample.requests[0].messages[0].parts[0] == video(1)


def test_files_of_videos_do_not_pile_up(tasks, tmp_path):
    log = tmp_path / "paths"
    task = tasks.task(
        TASK, f"def see(doc):\n    open({str(log)!r}, 'a').write(doc['image'][0] + chr(10))\n    return doc['image']\n"
    )
    for number in range(40):
        (sample,) = task.build(number, {"image": [video(number), video(number + 1)]}, [])
        assert list(sample.requests[0].messages[0].parts[:2]) == [video(number), video(number + 1)]
    paths = {Path(line) for line in log.read_text().splitlines()}
    assert len(paths) == 40 and sum(path.exists() for path in paths) <= 10
