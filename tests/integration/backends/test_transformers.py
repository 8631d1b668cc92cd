"""The transformers backend on tiny text models."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay_api.errors import SpecError
from assay_runner.backends.base import BackendFailed, Request, Response
from assay_runner.backends.registry import open_backend
from assay_runner.backends.transformers_engine import TransformersBackend
from support.engine import local_context
from support.models import ask, make_text_model, score, started_answers

TEXTS = ["the cat", "a much longer question about the cat that sat on the mat", "猫", "yes"]


def run(folder: Path, *batches: Sequence[Request], args: dict[str, Any] | None = None) -> dict[str, Response]:
    context = local_context(str(folder), {"device": "cpu"} | (args or {}))

    async def scenario() -> list[Response]:
        return await started_answers(open_backend("transformers", context), batches)

    return {response.key: response for response in asyncio.run(scenario())}


def direct(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
        folder
    )


def direct_score(folder: Path, context: str, continuation: str) -> tuple[float, bool, int]:
    """Σ ln p over the continuation, one sequence at a time, in the plainest way."""
    model, tokenizer = direct(folder)
    whole = tokenizer.encode(context + continuation, add_special_tokens=False)
    start = len(tokenizer.encode(context, add_special_tokens=False))
    if not context:
        whole, start = [tokenizer.bos_token_id, *whole], 1
    total, greedy = 0.0, True
    for place in range(start, len(whole)):
        with torch.inference_mode():
            likely = torch.log_softmax(model(torch.tensor([whole[:place]])).logits[0, -1].double(), dim=-1)
        total += float(likely[whole[place]])
        greedy = greedy and int(likely.argmax()) == whole[place]
    return total, greedy, len(whole) - start


PAIRS = [
    ("the cat", " sat on the mat"),
    ("the cat sat on the mat and looked", " at"),
    ("猫 is", " 是的"),
    ("", "the cat"),
    ("a", "b"),
]


def test_log_likelihoods_agree_with_a_direct_computation(base_model: Path) -> None:
    found = run(base_model, [score(str(place), *pair) for place, pair in enumerate(PAIRS)])
    for place, pair in enumerate(PAIRS):
        total, greedy, tokens = direct_score(base_model, *pair)
        response = found[str(place)]
        assert response.logprob == pytest.approx(total, abs=1e-5)
        assert (response.greedy, response.tokens) == (greedy, tokens)


def test_greedy_is_true_for_what_the_model_itself_would_say_and_false_for_anything_else(base_model: Path) -> None:
    model, tokenizer = direct(base_model)
    ids = tokenizer.encode("the cat", add_special_tokens=False)
    with torch.inference_mode():
        likely = model(torch.tensor([ids])).logits[0, -1].argsort(descending=True).tolist()
    printable = [
        token
        for token in likely
        if tokenizer.encode("the cat" + tokenizer.decode([token]), add_special_tokens=False) == [*ids, token]
    ]
    first = likely.index(printable[0])
    found = run(
        base_model,
        [
            score("best", "the cat", tokenizer.decode([printable[0]])),
            score("worst", "the cat", tokenizer.decode([printable[-1]])),
        ],
    )
    assert found["best"].greedy is (first == 0)
    assert found["worst"].greedy is False
    assert (found["best"].logprob or 0) > (found["worst"].logprob or 0)


def test_scores_do_not_depend_on_the_batch_they_are_in_beyond_rounding(base_model: Path) -> None:
    alone = run(base_model, [score("k", *PAIRS[0])])["k"].logprob
    among = run(base_model, [score("k", *PAIRS[0])] + [score(str(n), *pair) for n, pair in enumerate(PAIRS)])[
        "k"
    ].logprob
    assert alone == pytest.approx(among, abs=1e-5)


def test_left_padding_leaves_greedy_answers_as_they_are_alone(base_model: Path) -> None:
    together = run(base_model, [ask(text, text) for text in TEXTS])
    for text in TEXTS:
        assert run(base_model, [ask(text, text)])[text].text == together[text].text


def test_a_model_without_a_template_gets_the_raw_prompt(base_model: Path) -> None:
    model, tokenizer = direct(base_model)
    inputs = tokenizer("the cat", return_tensors="pt")
    expected = model.generate(**inputs, max_new_tokens=8, do_sample=False, eos_token_id=1, pad_token_id=1)
    expected_text = tokenizer.decode(expected[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert run(base_model, [ask("k", "the cat")])["k"].text == expected_text


def test_a_model_with_a_template_gets_the_conversation(text_model: Path) -> None:
    model, tokenizer = direct(text_model)
    inputs = tokenizer("<|user|>the cat<|assistant|>", return_tensors="pt")
    expected = model.generate(**inputs, max_new_tokens=8, do_sample=False, eos_token_id=1, pad_token_id=1)
    expected_text = tokenizer.decode(expected[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert run(text_model, [ask("k", "the cat")])["k"].text == expected_text


def test_sampling_defaults_of_a_checkpoint_are_not_mixed_in(base_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    settings = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "top_k": 1, "eos_token_id": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    asked = [ask("greedy", "the cat", max_new_tokens=16), ask("sampled", "the cat", temperature=1.5, seed=3)]
    plain, brought = run(base_model, asked), run(folder, asked)
    assert [plain[key].text for key in plain] == [brought[key].text for key in plain]


def test_answers_come_in_planned_order(base_model: Path) -> None:
    async def scenario() -> list[Response]:
        backend = open_backend("transformers", local_context(str(base_model), {"device": "cpu"}))
        return await started_answers(
            backend, [[ask(f"{batch}{place}", "x") for place in range(3)] for batch in range(4)]
        )

    assert [response.key for response in asyncio.run(scenario())] == [f"{a}{b}" for a in range(4) for b in range(3)]


def test_a_prompt_that_leaves_no_room_is_an_error_row_and_is_never_cut(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "short", positions=32)
    found = run(
        folder,
        [
            ask("fits", "the cat", max_new_tokens=4),
            ask("long", "the cat " * 40, max_new_tokens=4),
            ask("no room", "the cat", max_new_tokens=32),
            score("score", "the cat " * 40, " sat"),
        ],
    )
    assert found["fits"].error is None
    for key in ("long", "no room", "score"):
        error = found[key].error
        assert error is not None and error.kind == "ContextTooLong"
        assert "32" in error.message
    assert run(folder, [ask("fits", "the cat", max_new_tokens=4)])["fits"].text == found["fits"].text


def test_a_template_that_refuses_is_an_error_row(tmp_path: Path) -> None:
    said = "messages[0]['content']"
    template = f"{{% if {said} == 'bad' %}}{{{{ raise_exception('never that') }}}}{{% endif %}}{{{{ {said} }}}}"
    folder = make_text_model(tmp_path / "picky", chat_template=template)
    found = run(folder, [ask("a", "good"), ask("b", "bad")])
    assert found["a"].error is None
    assert found["b"].error is not None and found["b"].error.kind == "ChatTemplate"
    assert "never that" in found["b"].error.message


@pytest.mark.parametrize("threads", [1, 2])
def test_pinned_threads_hold_in_the_thread_that_runs_the_model(base_model: Path, threads: int) -> None:
    async def scenario() -> int:
        torch.set_num_threads(3)
        context = local_context(str(base_model), {"device": "cpu", "threads": threads})
        backend: Any = open_backend("transformers", context)
        await backend.start()
        used = await asyncio.get_running_loop().run_in_executor(backend._runner, torch.get_num_threads)
        await backend.close()
        return used

    assert asyncio.run(scenario()) == threads


def test_a_model_whose_files_lack_parameters_is_refused(base_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SpecError, match=r"lack 1 of the model's parameters.*up_proj"):
        run(folder, [])


def test_a_start_with_other_weights_than_planned_is_refused(base_model: Path, tmp_path: Path) -> None:
    other = make_text_model(tmp_path / "other", seed=1)
    context = replace(local_context(str(base_model), {"device": "cpu"}), name=str(other))
    with pytest.raises(SpecError, match=r"model\.pins\.weights"):
        asyncio.run(started_answers(open_backend("transformers", context), []))


def test_weights_that_are_cut_off_are_refused_in_a_sentence(base_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base_model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SpecError, match="cannot be loaded"):
        run(folder, [])


@pytest.mark.parametrize(
    ("when", "said"),
    [("generate", r"batch of 2.*args\.batch_size"), ("load", r"loading the model.*more of it.*args\.dtype")],
)
def test_running_out_of_memory_ends_the_worker_and_names_the_way_out(
    base_model: Path, monkeypatch: pytest.MonkeyPatch, when: str, said: str
) -> None:
    def out_of_memory(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(f"assay_runner.backends.transformers_engine.{when}", out_of_memory)
    with pytest.raises(BackendFailed, match=said):
        run(base_model, [ask("a", "x"), ask("b", "y")])


def out_of_memory_above(monkeypatch: pytest.MonkeyPatch, most: int, hopeless: str = "") -> list[int]:
    """From now on more than `most` requests together do not fit, nor does `hopeless` in any company; how many ran."""
    from assay_runner.backends import transformers_engine

    ran: list[int] = []

    def limited(run: Any) -> Any:
        def engine(loaded: Any, group: Any, *rest: Any) -> Any:
            if len(group.requests) > most or any(request.key == hopeless for request in group.requests):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            ran.append(len(group.requests))
            return run(loaded, group, *rest)

        return engine

    monkeypatch.setattr(transformers_engine, "generate", limited(transformers_engine.generate))
    monkeypatch.setattr(transformers_engine, "score", limited(transformers_engine.score))
    return ran


def test_each_request_reports_its_share_of_what_its_batch_took_to_prepare(base_model: Path) -> None:
    ticks = {"prepare": count(step=8), "model": count()}

    def clock() -> float:
        return float(next(ticks[current_thread().name.partition("_")[0]]))

    backend = TransformersBackend(local_context(str(base_model), {"device": "cpu"}), clock)
    asked = [[ask("a", "x"), ask("b", "y"), ask("c", "z"), score("d", "the cat", " sat")], [ask("e", "x")]]
    found = {response.key: response.encoding for response in asyncio.run(started_answers(backend, asked))}
    assert found == {"a": 2.0, "b": 2.0, "c": 2.0, "d": 2.0, "e": 8.0}


def test_a_batch_size_that_is_to_be_found_is_halved_until_it_fits(
    base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [ask(str(n), TEXTS[n % 4]) for n in range(10)] + [score(f"s{n}", *pair) for n, pair in enumerate(PAIRS)]
    expected = run(base_model, batch)
    ran = out_of_memory_above(monkeypatch, 2)
    found = run(base_model, batch, args={"batch_size": "auto"})
    assert ran == [2] * 5 + [2, 2, 1]
    assert {key: response.text for key, response in found.items()} == {key: r.text for key, r in expected.items()}
    for key, response in found.items():
        assert response.error is None
        assert response.logprob == pytest.approx(expected[key].logprob, abs=1e-5)


def test_a_sample_that_does_not_fit_by_itself_is_an_error_row(
    base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(monkeypatch, 64, hopeless="b")
    found = run(base_model, [ask(key, "the cat") for key in "abc"], args={"batch_size": "auto"})
    assert found["b"].error is not None and found["b"].error.kind == "OutOfMemory"
    assert found["a"].text == found["c"].text is not None


def test_another_fault_of_the_engine_is_not_tried_again(base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("assay_runner.backends.transformers_engine.generate", broken)
    with pytest.raises(BackendFailed, match="illegal memory access"):
        run(base_model, [ask("a", "x"), ask("b", "y")], args={"batch_size": "auto"})
