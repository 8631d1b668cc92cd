"""Speech models with a CTC head through the transformers backend, beside transformers' own use of the same model."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCTC, AutoProcessor

from assay_api.errors import SpecError
from assay_api.evaljob import Model
from assay_runner.backends.base import Generation, Message, Request, Response
from assay_runner.backends.registry import describe, open_backend
from assay_runner.decode.audio import decode_audio
from assay_runner.media import Media
from support.clips import noise, samples
from support.ctc_models import make_parakeet, make_wav2vec2
from support.engine import local_context
from support.models import started_answers

MAKERS: dict[str, Callable[[Path], Path]] = {
    "masked": make_wav2vec2,
    "unmasked": lambda folder: make_wav2vec2(folder, masked=False),
    "parakeet": make_parakeet,
}
SOUNDS = {"a": noise(2), "b": noise(0.3, seed=1), "c": noise(5, seed=2), "d": noise(2, seed=3)}


@pytest.fixture(scope="module", params=MAKERS)
def listener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wav2vec2(tmp_path_factory.mktemp("letters") / "model")


def run(folder: Path, *requests: Request, **args: Any) -> dict[str, Response]:
    context = local_context(str(folder), {"device": "cpu"} | args)

    async def scenario() -> list[Response]:
        return await started_answers(open_backend("transformers", context), [requests])

    return {response.key: response for response in asyncio.run(scenario())}


def heard(key: str, sound: Media, **generation: Any) -> Request:
    settings = Generation(**({"max_new_tokens": 4096} | generation))
    return Request(key, "generate", (Message("user", (sound,)),), None, None, settings, 0)


def transcript(folder: Path, sound: Media | NDArray[np.float32]) -> str:
    """What the model itself says of one sound."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForCTC.from_pretrained(folder).eval()
    heard = samples(sound) if isinstance(sound, Media) else sound
    inputs = processor(heard, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**inputs) if model.can_generate() else model(**inputs).logits.argmax(dim=-1)
    [text] = processor.batch_decode(tokens, skip_special_tokens=model.can_generate())
    return str(text).strip()


def test_a_transcript_is_what_the_model_itself_says_alone_and_among_others(listener: Path) -> None:
    together = run(listener, *(heard(key, sound) for key, sound in SOUNDS.items()))
    for key, sound in SOUNDS.items():
        assert together[key].text == transcript(listener, sound)
        assert run(listener, heard(key, sound))[key].text == together[key].text
        assert together[key].finish_reason == "stop"
    assert len({response.text for response in together.values()}) > 2


def test_an_answer_ends_at_a_stop_string_and_after_the_tokens_that_it_may_have(letters: Path) -> None:
    sound = SOUNDS["c"]
    whole = run(letters, heard("k", sound))["k"]
    assert whole.text is not None and whole.tokens_out is not None
    middle = whole.text[len(whole.text) // 2]
    found = run(
        letters,
        heard("short", sound, max_new_tokens=3),
        heard("exact", sound, max_new_tokens=whole.tokens_out),
        heard("stopped", sound, stop=(middle,)),
    )
    assert (found["short"].tokens_out, found["short"].finish_reason) == (3, "length")
    assert found["short"].text and whole.text.startswith(found["short"].text)
    assert (found["exact"].text, found["exact"].finish_reason) == (whole.text, "stop")
    assert found["stopped"].text == whole.text.partition(middle)[0].strip()


def test_what_such_a_model_cannot_do_is_an_error_of_its_own_request(letters: Path) -> None:
    found = run(
        letters,
        heard("fine", SOUNDS["a"]),
        heard("tiny", noise(399 / 16_000)),
        heard("least", noise(400 / 16_000)),
        heard("endless", noise(601)),
        heard("sampled", SOUNDS["a"], temperature=1.0),
        heard("penalised", SOUNDS["a"], repetition_penalty=1.2),
    )
    told = {key: (answer.error.kind, answer.error.message) for key, answer in found.items() if answer.error}
    assert told == {
        "tiny": ("MediaError", "the sound has 399 samples at 16000 Hz, the model hears none below 400"),
        "endless": (
            "ContextTooLong",
            "the sound lasts 601 s, a CTC model hears 600 s at most, in one piece; cut it up",
        ),
        "sampled": ("Unsupported", "a CTC model does not sample; set temperature to 0"),
        "penalised": ("Unsupported", "a CTC model takes no repetition_penalty; remove it"),
    }
    assert found["fine"].text == transcript(letters, SOUNDS["a"])


def test_a_long_sound_is_heard_whole(letters: Path) -> None:
    sound = noise(40, seed=5)
    found = run(letters, heard("long", sound), heard("short", SOUNDS["b"]))
    assert found["long"].text == transcript(letters, sound)
    assert found["short"].text == transcript(letters, SOUNDS["b"])


def test_it_is_planned_as_a_model_that_hears_and_says_one_thing(letters: Path) -> None:
    description = describe(Model.model_validate({"backend": "transformers", "name": str(letters)}), 1)
    assert description.media == {"audio"}
    assert not description.loglikelihood and not description.samples


def test_arguments_for_models_that_choose_their_language_are_refused(letters: Path) -> None:
    with pytest.raises(SpecError, match=r"args\.language: this model does not choose how it transcribes"):
        local_context(str(letters), {"language": "en"})


def test_a_sound_of_another_rate_reaches_the_model_at_its_own(letters: Path) -> None:
    sound = noise(1, rate=48_000)
    assert run(letters, heard("k", sound))["k"].text == transcript(letters, decode_audio(sound, 16_000))


def spoken(folder: Path, model: Path, *, temperature: float) -> None:
    """A job about two recordings, in `folder`."""
    (folder / "speech").mkdir()
    rows = []
    for name in "ab":
        (folder / "speech" / f"{name}.wav").write_bytes(SOUNDS[name].read())
        rows.append(json.dumps({"file_name": f"{name}.wav", "text": "good morning"}))
    (folder / "speech" / "metadata.jsonl").write_text("\n".join(rows))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "mine.yaml").write_text(
        f"task: mine\ninclude: asr_wer\ndataset_path: {folder / 'speech'}\ndataset_name: null\n"
        f"generation_kwargs: {{temperature: {temperature}}}\n"
    )
    spec = {
        "model": {"backend": "transformers", "name": str(model), "args": {"device": "cpu"}},
        "tasks": [{"name": "mine"}],
        "taskSources": [{"uri": "tasks"}],
    }
    job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "speech"}, "spec": spec}
    (folder / "job.yaml").write_text(json.dumps(job))


def test_a_task_that_samples_is_refused_when_it_is_planned(letters: Path, tmp_path: Path, assay: Any) -> None:
    spoken(tmp_path, letters, temperature=0.5)
    done = assay("plan", "job.yaml", "--store", str(tmp_path / "store"))
    assert done.returncode == 64
    assert "generation_kwargs.temperature: the task samples its answers" in done.stderr


def test_recordings_are_transcribed_and_scored(letters: Path, tmp_path: Path, assay: Any) -> None:
    spoken(tmp_path, letters, temperature=0)
    done = assay("run", "job.yaml", "--store", str(tmp_path / "store"), "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["determinism"] == "exact"
    assert {(metric["metric"], metric["n"]) for metric in results["tasks"][0]["metrics"]} == {("wer", 2), ("cer", 2)}
