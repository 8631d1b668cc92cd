"""Sound, video and text-to-text models through the transformers backend, each beside the plainest use of the same model."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoTokenizer,
    WhisperForConditionalGeneration,
)

from assay_runner.backends.base import Generation, Message, Request, Response, Text
from assay_runner.backends.registry import open_backend
from assay_runner.backends.source import locate
from assay_runner.backends.transformers_kind import model_kind
from assay_runner.backends.transformers_model import weights
from assay_runner.decode.sampling import Sampling
from assay_runner.decode.video import decode_video
from assay_runner.media import Media, from_bytes
from support.clips import clip, noise, samples
from support.engine import local_context
from support.models import ask, score, started_answers
from support.multimodal_models import make_audio_model, make_speaker, make_translator, make_video_model, make_whisper

VLM = Path(__file__).parents[3] / "examples" / "tiny-vlm" / "model"


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper") / "model")


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio_model(tmp_path_factory.mktemp("audio") / "model")


def run(folder: Path, *batches: Sequence[Request], **args: Any) -> dict[str, Response]:
    context = local_context(str(folder), {"device": "cpu"} | args)

    async def scenario() -> list[Response]:
        return await started_answers(open_backend("transformers", context), batches)

    return {response.key: response for response in asyncio.run(scenario())}


def about(key: str, *parts: Media | str, **generation: Any) -> Request:
    shown = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    settings = Generation(**({"max_new_tokens": 8} | generation))
    return Request(key, "generate", (Message("user", shown),), None, None, settings, 0)


def transcript(folder: Path, sound: Media, **settings: Any) -> str:
    """What the model itself says of one sound."""
    processor = AutoProcessor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    heard = samples(sound)
    whole = {"truncation": False, "padding": True} if len(heard) > 480_000 else {}
    inputs = processor.feature_extractor(
        heard, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True, **whole
    )
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=8, return_timestamps=bool(whole), **settings)
    return str(processor.tokenizer.decode(output[0].tolist(), skip_special_tokens=True)).strip()


def test_a_transcript_is_what_the_model_itself_says_alone_and_among_others(whisper: Path) -> None:
    sounds = {"a": noise(2), "b": noise(0.3, seed=1), "c": noise(9, seed=2)}
    found = run(whisper, [about(key, sound, "What is said?") for key, sound in sounds.items()])
    assert {key: response.text for key, response in found.items()} == {
        key: transcript(whisper, sound) for key, sound in sounds.items()
    }
    assert len({response.text for response in found.values()}) > 1
    assert all(response.tokens_out for response in found.values())


def test_what_is_longer_than_a_window_is_heard_to_its_end(whisper: Path) -> None:
    sound = noise(45)
    found = run(whisper, [about("long", sound), about("short", noise(2))])
    assert found["long"].text == transcript(whisper, sound)
    assert found["short"].text == transcript(whisper, noise(2))


def test_language_and_task_are_the_model_s(whisper: Path) -> None:
    sound = noise(3)
    for language, task in (("en", "transcribe"), ("de", "translate")):
        found = run(whisper, [about("k", sound)], language=language, speech_task=task)
        assert found["k"].text == transcript(whisper, sound, language=language, task=task)


def test_a_speech_model_is_asked_about_one_sound(whisper: Path) -> None:
    found = run(whisper, [about("none", "hello"), about("two", noise(1), noise(1, seed=1)), about("one", noise(1))])
    assert [found[key].error and found[key].error.kind for key in ("none", "two", "one")] == [
        "Unsupported",
        "Unsupported",
        None,
    ]


def test_sounds_of_any_rate_reach_the_model_at_its_own(hearing: Path) -> None:
    slow, fast = noise(1, rate=16_000), noise(1, rate=48_000)
    found = run(hearing, [about("slow", slow, "?"), about("fast", fast, "?")])
    assert found["slow"].tokens_in == found["fast"].tokens_in


def test_an_audio_model_hears_what_it_is_asked_about_and_nothing_beside_it(hearing: Path) -> None:
    asked = [
        about("one", noise(1), "what is it?"),
        about("two", noise(1, seed=1), " or ", noise(2, seed=2), "?"),
        about("other", noise(1, seed=3), "what is it?"),
        about("text", "what is it?"),
    ]
    together = run(hearing, asked)
    for request in asked:
        assert together[request.key].error is None
        assert run(hearing, [request])[request.key].text == together[request.key].text
    assert together["one"].text != together["other"].text
    assert run(hearing, [about("image", picture(0), "?")])["image"].error.kind == "Unsupported"  # type: ignore[union-attr]


def test_a_broken_sound_is_its_own_error(hearing: Path) -> None:
    broken = from_bytes(noise(1).read()[:40])
    found = run(hearing, [about("a", noise(1), "?"), about("b", broken, "?")])
    assert found["a"].error is None
    assert found["b"].error is not None and found["b"].error.kind == "MediaError"


def picture(seed: int) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (seed * 40 % 256, 90, 200)).save(buffer, "PNG")
    return from_bytes(buffer.getvalue())


def as_png(frame: Any) -> Media:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return from_bytes(buffer.getvalue())


def test_a_model_without_a_video_processor_sees_the_sampled_frames_as_pictures() -> None:
    first, second = clip(), clip(30, seed=1)
    shown = [[as_png(frame) for frame in decode_video(one, Sampling(frames=3)).pictures] for one in (first, second)]
    red = picture(3)
    found = run(
        VLM,
        [about("videos", first, "then", red, second, "what colour?")],
        [about("pictures", *shown[0], "then", red, *shown[1], "what colour?")],
        video_frames=3,
    )
    assert found["videos"].error is None
    assert found["videos"].text == found["pictures"].text
    assert found["videos"].tokens_in == found["pictures"].tokens_in
    assert found["videos"].frames == ((0, 37, 74), (0, 14, 29))
    assert found["pictures"].frames == ()


def test_a_broken_video_is_its_own_error() -> None:
    whole = clip()
    broken = replace(from_bytes(whole.read()[:300]), kind="video")
    found = run(VLM, [about("a", whole, "?"), about("b", broken, "?")], video_frames=2)
    assert found["a"].error is None
    assert found["b"].error is not None and found["b"].error.kind == "MediaError"


def test_a_model_with_a_video_processor_is_shown_the_sampled_frames_and_when_they_were(tmp_path: Path) -> None:
    pytest.importorskip(
        "torchvision", reason="processors of videos need torchvision, which no build fits this torch here"
    )
    folder = make_video_model(tmp_path / "model")
    asked = [about("one", clip(), "what?"), about("two", clip(30, seed=1), picture(1), "what?")]
    found = run(folder, asked, video_frames=4)
    assert found["one"].error is None and found["two"].error is None
    assert found["one"].frames == ((0, 24, 49, 74),)
    for request in asked:
        assert run(folder, [request], video_frames=4)[request.key].text == found[request.key].text
    other = run(folder, [about("one", clip(seed=5), "what?")], video_frames=4)
    assert other["one"].text != found["one"].text
    assert run(folder, asked[:1], video_frames=8)["one"].tokens_in > (found["one"].tokens_in or 0)  # type: ignore[operator]


def scored(key: str, image: Media, continuation: str) -> Request:
    asked = about(key, image, "what colour is the circle?")
    return replace(asked, kind="loglikelihood", continuation=continuation)


def test_continuations_after_pictures_are_scored_as_by_the_model_itself() -> None:
    processor = AutoProcessor.from_pretrained(VLM)
    model = AutoModelForImageTextToText.from_pretrained(VLM, dtype=torch.float32).eval()
    pairs = {"a": (picture(1), " red"), "b": (picture(4), " blue"), "c": (picture(1), " a long answer")}
    found = run(VLM, [scored(key, *pair) for key, pair in pairs.items()] + [score("text", "a", " b")])
    assert found["text"].error is None
    for key, (image, continuation) in pairs.items():
        content = [{"type": "image"}, {"type": "text", "text": "what colour is the circle?"}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        pixels = [Image.open(io.BytesIO(image.read()))]
        ids = [
            processor(text=text, images=pixels, return_tensors="pt")
            for text in (prompt.rstrip(), prompt + continuation)
        ]
        start, whole = ids[0]["input_ids"].shape[1], ids[1]["input_ids"][0]
        with torch.inference_mode():
            likely = torch.log_softmax(model(**ids[1]).logits[0].double(), dim=-1)
        total = sum(float(likely[place - 1, whole[place]]) for place in range(start, len(whole)))
        assert found[key].logprob == pytest.approx(total, abs=1e-4)
        assert found[key].tokens == len(whole) - start


def test_of_a_model_that_speaks_the_part_that_answers_with_text_is_run(tmp_path: Path) -> None:
    speaker = make_speaker(tmp_path / "model")
    kind = model_kind(locate(str(tmp_path / "model"), None, 1, None), trusted=False)
    assert kind.has_processor
    thinker = weights(str(tmp_path / "model"), kind, dtype=torch.float32)
    assert type(thinker) is type(speaker.thinker)
    asked = {"input_ids": torch.tensor([[5, 6, 7]]), "max_new_tokens": 5, "do_sample": False}
    assert thinker.generate(**asked).tolist() == speaker.thinker.generate(**asked).tolist()


def test_a_text_to_text_model_answers_as_it_does_by_itself(tmp_path: Path) -> None:
    folder = make_translator(tmp_path / "model")
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["the cat", "a much longer question about the cat that sat on the mat"]
    found = run(folder, [ask(text, text) for text in texts])
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        assert found[text].text == tokenizer.decode(output[0][1:], skip_special_tokens=True)
    assert len({response.text for response in found.values()}) == 2
