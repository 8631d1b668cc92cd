"""What every backend promises the pipeline, checked on each with a real (tiny) model."""

import string
from collections.abc import Sequence
from dataclasses import replace

import pytest

from assay_runner.backends.base import Message, Request, Response, Text
from assay_runner.media import from_bytes
from support.kept import Subject
from support.models import ask, score, started_answers

QUESTIONS = [
    "the cat",
    "yes?",
    "naïve café",
    "是的",
    "🙂 and more",
    "a longer question about the cat on the mat",
    " ",
    "\n",
]


def run(subject: Subject, *batches: Sequence[Request]) -> dict[str, Response]:
    """Responses by key; a key that is answered twice fails."""

    async def scenario() -> list[Response]:
        return await started_answers(subject.open(), batches)

    responses = subject.wait(scenario())
    found = {response.key: response for response in responses}
    assert len(found) == len(responses), "a request was answered twice"
    return found


def what_counts(response: Response) -> Response:
    """A response without its times."""
    return replace(response, latency=None, first_token=None, decoding=None, encoding=None)


def test_every_request_is_answered_exactly_once(any_backend: Subject) -> None:
    batches = [[ask(f"{batch}/{place}", text) for place, text in enumerate(QUESTIONS)] for batch in range(5)]
    found = run(any_backend, *batches)
    assert found.keys() == {request.key for batch in batches for request in batch}
    assert all(response.error is None and response.text is not None for response in found.values())


def test_no_batches_are_no_answers(any_backend: Subject) -> None:
    assert run(any_backend) == {}


def test_the_same_batches_give_the_same_answers_to_the_last_bit(any_backend: Subject) -> None:
    batch = [ask(str(place), text) for place, text in enumerate(QUESTIONS)] + [score("s", "the cat", " sat on")]
    sampled = [ask(f"t{place}", text, temperature=0.8, seed=place) for place, text in enumerate(QUESTIONS)]
    first, second = run(any_backend, batch, sampled), run(any_backend, batch, sampled)
    assert {key: what_counts(value) for key, value in first.items()} == {
        key: what_counts(value) for key, value in second.items()
    }


def test_answers_report_tokens_time_and_why_they_ended(any_backend: Subject) -> None:
    response = run(any_backend, [ask("k", "the cat", max_new_tokens=5)])["k"]
    assert response.tokens_in and response.tokens_in > 3
    assert response.tokens_out and 1 <= response.tokens_out <= 5
    assert response.finish_reason in ("stop", "length")
    assert response.latency and response.latency > 0


@pytest.mark.parametrize("longest", [1, 4, 16])
def test_no_answer_is_longer_than_asked_for(any_backend: Subject, longest: int) -> None:
    found = run(any_backend, [ask(text, text, max_new_tokens=longest) for text in QUESTIONS])
    for response in found.values():
        assert response.tokens_out is not None and response.tokens_out <= longest
        assert response.finish_reason == "stop" or response.tokens_out == longest


def test_an_answer_ends_before_its_stop_string_and_is_otherwise_the_same(any_backend: Subject) -> None:
    free = run(any_backend, [ask("k", "the cat", max_new_tokens=24)])["k"].text or ""
    assert len(free) > 8
    middle = len(free) // 2
    stop = free[middle : middle + 2]
    stopped = run(any_backend, [ask("k", "the cat", max_new_tokens=24, stop=("never there", stop))])["k"]
    assert stopped.text == free[: free.index(stop)]
    assert stopped.finish_reason == "stop"


def test_an_answer_may_be_empty(any_backend: Subject) -> None:
    first = (run(any_backend, [ask("k", "the cat", max_new_tokens=24)])["k"].text or "")[0]
    response = run(any_backend, [ask("k", "the cat", max_new_tokens=24, stop=(first,))])["k"]
    assert (response.text, response.error) == ("", None)


def test_a_sampled_answer_depends_on_its_seed_and_on_nothing_beside_it(any_backend: Subject) -> None:
    asked = ask("k", "the cat", temperature=1.0, seed=7, max_new_tokens=12)
    others = [ask(f"o{place}", text, temperature=1.0, seed=place) for place, text in enumerate(QUESTIONS)]
    alone = run(any_backend, [asked])["k"]
    among = run(any_backend, [*others[:4], asked, *others[4:]])["k"]
    reseeded = run(any_backend, [replace(asked, seed=8)])["k"]
    assert what_counts(alone) == what_counts(among)
    assert alone.text != reseeded.text


@pytest.mark.parametrize("temperature", [2.0, 5.0])
def test_top_k_of_one_is_greedy_whatever_the_temperature(any_backend: Subject, temperature: float) -> None:
    greedy = run(any_backend, [ask("k", "the cat")])["k"]
    narrow = run(any_backend, [ask("k", "the cat", temperature=temperature, top_k=1, seed=3)])["k"]
    if any_backend.name == "vllm" and temperature > 2:
        assert narrow.error is not None and "temperature must be in [0, 2]" in narrow.error.message
    else:
        assert narrow.text == greedy.text


def test_greedy_answers_do_not_depend_on_what_is_asked_beside_them(any_backend: Subject) -> None:
    together = run(any_backend, [ask(text, text) for text in QUESTIONS])
    for text in QUESTIONS[:4]:
        assert run(any_backend, [ask(text, text)])[text].text == together[text].text


def test_a_repetition_penalty_changes_the_answer(any_backend: Subject) -> None:
    plain = run(any_backend, [ask("k", "the cat", max_new_tokens=24)])["k"]
    penalised = run(any_backend, [ask("k", "the cat", max_new_tokens=24, repetition_penalty=5.0)])["k"]
    assert plain.text != penalised.text


def test_a_request_that_cannot_be_put_is_an_error_row_and_the_others_are_answered(any_backend: Subject) -> None:
    flac = from_bytes(b"fLaC" + bytes(64))
    impossible = replace(ask("bad", "x"), messages=(Message("user", (flac, Text("what is said?"))),), prompt=None)
    found = run(any_backend, [ask("a", "the cat"), impossible, ask("b", "the mat")])
    # Sound is converted for an endpoint, which this one cannot be; the model itself takes none.
    kind = "MediaError" if any_backend.name == "openai" else "Unsupported"
    assert found["bad"].error is not None and found["bad"].error.kind == kind
    assert found["bad"].text is None
    assert found["a"].text is not None and found["b"].text is not None


def test_log_likelihoods_are_negative_finite_and_say_how_many_tokens(any_backend: Subject) -> None:
    found = run(any_backend, [score("a", "the cat", " sat on the mat"), score("b", "the cat ", "sat on the mat")])
    first = found["a"]
    assert first.error is None and first.logprob is not None and -1000 < first.logprob < 0
    assert first.tokens and first.tokens >= 2
    assert isinstance(first.greedy, bool)
    assert (first.logprob, first.tokens) == pytest.approx((found["b"].logprob, found["b"].tokens))


def test_a_score_is_the_sum_over_its_parts(any_backend: Subject) -> None:
    whole = score("whole", "the cat", " sat on the mat")
    parts = [score("first", "the cat", " sat"), score("second", "the cat sat", " on the mat")]
    found = run(any_backend, [whole, *parts])
    assert [found[key].tokens for key in ("first", "second")] != [None, None]
    assert found["whole"].tokens == (found["first"].tokens or 0) + (found["second"].tokens or 0)
    assert found["whole"].logprob == pytest.approx(
        (found["first"].logprob or 0) + (found["second"].logprob or 0), abs=1e-3
    )


@pytest.mark.parametrize(
    ("prompt", "continuation"), [("猫 is", " 是的"), ("naïve", " café"), ("a", "🙂"), ("x\n\n", "y")]
)
def test_texts_of_any_script_can_be_scored(any_backend: Subject, prompt: str, continuation: str) -> None:
    response = run(any_backend, [score("k", prompt, continuation)])["k"]
    assert response.error is None
    assert response.logprob is not None and response.logprob < 0
    assert response.tokens and response.tokens >= 1


def test_after_an_empty_prompt_a_text_is_scored_or_refused_by_name(any_backend: Subject) -> None:
    response = run(any_backend, [score("k", "", "the cat")])["k"]
    if any_backend.name == "openai":
        assert response.error is not None and response.error.kind == "Unsupported"
    else:
        assert response.error is None and response.logprob is not None and response.logprob < 0


def test_only_the_likeliest_token_is_greedy(any_backend: Subject) -> None:
    found = run(any_backend, [score(letter, "the cat", letter) for letter in string.printable[:94]])
    best = max(found.values(), key=lambda response: response.logprob or -1000)
    assert all(response is best for response in found.values() if response.greedy)


def test_what_leaves_no_room_is_an_error_row_and_is_never_cut(any_backend: Subject) -> None:
    found = run(
        any_backend,
        [
            ask("fits", "the cat", max_new_tokens=4),
            ask("long", "the cat " * 400, max_new_tokens=4),
            ask("no room", "the cat", max_new_tokens=256),
            *([score("score", "the cat " * 400, " sat")] if any_backend.name != "openai" else []),
        ],
    )
    assert found.pop("fits").error is None
    for response in found.values():
        assert response.error is not None and response.error.kind == "ContextTooLong"


def test_both_may_be_mixed_in_one_batch(any_backend: Subject) -> None:
    found = run(any_backend, [ask("g", "the cat"), score("s", "the cat", " sat"), ask("t", "x", temperature=1.0)])
    assert (found["g"].text, found["s"].text) != (None, "") and found["s"].logprob is not None
    assert all(response.error is None for response in found.values())


def test_closing_twice_is_safe(any_backend: Subject) -> None:
    async def scenario() -> None:
        backend = any_backend.open()
        await backend.start()
        await backend.close()
        await backend.close()

    any_backend.wait(scenario())


def test_the_consumer_may_stop_early(any_backend: Subject) -> None:
    async def scenario() -> str:
        backend = any_backend.open()
        await backend.start()

        async def feed():  # type: ignore[no-untyped-def]
            for number in range(1000):
                yield (ask(str(number), "the cat"),)

        stream = backend.stream(feed())
        first = await anext(aiter(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        await backend.close()
        return first.key

    assert any_backend.wait(scenario()).isdigit()
