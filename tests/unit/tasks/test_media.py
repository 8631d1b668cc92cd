"""Media on the way through a task's Python: undecoded where nothing was changed, PNG where something was."""

import io
import wave

import pytest
from PIL import Image

from assay_runner.media import Media, from_bytes, from_file
from assay_runner.tasks.task import TaskError
from support.documents import png

VISUAL = "doc_to_visual: !function utils.see\ndoc_to_text: question\n"


def seen(task, doc):
    (sample,) = task.build(0, doc, [])
    return [part for part in sample.requests[0].messages[-1].parts if isinstance(part, Media)]


def tone() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 4, "NONE", "none"))
        file.writeframes(b"\x00\x01\x00\x02\x00\x03\x00\x04")
    return buffer.getvalue()


IMAGE = {"question": "what?", "image": from_bytes(png(7))}


@pytest.mark.parametrize(
    "body",
    ["return [doc['image']]", "doc['image'].load(); return [doc['image']]", "doc['image'].size; return doc['image'],"],
)
def test_an_image_that_was_only_looked_at_keeps_its_bytes(tasks, body):
    task = tasks.task(VISUAL, f"def see(doc):\n    {body}\n")
    assert seen(task, IMAGE) == [IMAGE["image"]]


def test_an_image_that_was_drawn_on_is_not_sent_as_it_was(tasks):
    task = tasks.task(
        VISUAL, "def see(doc):\n    doc['image'].putpixel((0, 0), (9, 9, 9))\n    return [doc['image']]\n"
    )
    (medium,) = seen(task, IMAGE)
    assert medium != IMAGE["image"] and Image.open(io.BytesIO(medium.read())).getpixel((0, 0)) == (9, 9, 9)


def test_a_converted_image_is_a_png_with_the_same_pixels_and_the_same_bytes_each_time(tasks):
    task = tasks.task(VISUAL, "def see(doc):\n    return [doc['image'].convert('RGB')]\n")
    (first,), (second,) = seen(task, IMAGE), seen(task, IMAGE)
    assert first == second and first.mime == "image/png"
    pixels = [Image.open(io.BytesIO(medium.read())).convert("RGB").tobytes() for medium in (first, IMAGE["image"])]
    assert pixels[0] == pixels[1]


def test_a_picture_in_a_mode_that_png_does_not_have_is_converted(tasks):
    task = tasks.task(VISUAL, "def see(doc):\n    return [doc['image'].convert('CMYK')]\n")
    assert seen(task, IMAGE)[0].mime == "image/png"


def test_no_visuals_are_no_media(tasks):
    for value in ("None", "[]"):
        assert seen(tasks.task(VISUAL, f"def see(doc):\n    return {value}\n"), IMAGE) == []


@pytest.mark.parametrize("value", ["['https://example.org/a.png']", "[3]", "['/no/such/file.png']", "'image'"])
def test_what_is_no_medium_is_the_documents_error(tasks, value):
    with pytest.raises(TaskError):
        tasks.task(VISUAL, f"def see(doc):\n    return {value}\n").build(0, IMAGE, [])


def test_an_image_that_cannot_be_opened_is_a_media_error(tasks):
    broken = from_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(TaskError) as error:
        tasks.task(VISUAL, "def see(doc):\n    return [doc['image']]\n").build(0, IMAGE | {"image": broken}, [])
    assert error.value.kind == "MediaError"


def test_audio_is_handed_over_as_samples_and_keeps_its_bytes_unless_it_is_changed(tasks):
    doc = {"question": "who?", "audio": from_bytes(tone())}
    kept = tasks.task(
        VISUAL, "def see(doc):\n    assert doc['audio']['sampling_rate'] == 8000\n    return [doc['audio']]\n"
    )
    assert seen(kept, doc) == [doc["audio"]]
    louder = tasks.task(VISUAL, "def see(doc):\n    doc['audio']['array'] *= 2\n    return [doc['audio']]\n")
    (changed,) = seen(louder, doc)
    assert changed != doc["audio"] and changed.mime == "audio/wav"


def test_a_video_is_a_path_even_when_it_lies_in_no_file(tasks, tmp_path):
    data = b"\x00\x00\x00\x18ftypmp42" + b"\0" * 16
    (tmp_path / "clip.mp4").write_bytes(data)
    task = tasks.task(VISUAL, "def see(doc):\n    open(doc['video']).close()\n    return [doc['video']]\n")
    for medium in (from_bytes(data), from_file(tmp_path / "clip.mp4")):
        assert [one.sha256 for one in seen(task, {"question": "?", "video": medium})] == [medium.sha256]


def test_process_results_sees_media_only_when_it_asks_for_them(tasks, answered):
    utils = "def score(doc, results):\n    return {'exact_match': float('image' in doc or 'images' in doc)}\n"
    text = "doc_to_text: question\nprocess_results: !function utils.score\n"
    doc = IMAGE | {"images": [IMAGE["image"]]}
    assert answered(tasks.task(text, utils), doc, "x")[0].items == {"exact_match": 0.0}
    asking = tasks.task(text + "process_results_use_image: true\n", utils)
    assert answered(asking, doc, "x")[0].items == {"exact_match": 1.0}


def test_columns_can_be_named_as_visuals_without_a_function(tasks):
    task = tasks.task("doc_to_visual: [image, more]\ndoc_to_text: question\n")
    doc = IMAGE | {"more": [from_bytes(png(1)), from_bytes(png(2))]}
    assert seen(task, doc) == [doc["image"], *doc["more"]]
    with pytest.raises(TaskError, match="hold no media"):
        task.build(0, doc | {"more": "text"}, [])
