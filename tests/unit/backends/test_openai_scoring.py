"""Where a continuation begins in echoed tokens, and what it scores."""

import json
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.backends.openai_replies import BadResponseError
from assay_runner.backends.openai_scoring import NoTokenBoundaryError, decode_scoring, find_boundary

pieces = st.lists(st.text(alphabet=" ab猫", min_size=1, max_size=4), min_size=1, max_size=6)


def body(
    tokens: list[str], logprobs: list[Any], prompt_tokens: int | None, top: Any = None, offsets: Any = None
) -> bytes:
    found = {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets}
    usage = {} if prompt_tokens is None else {"usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 1}}
    return json.dumps({"choices": [{"text": "", "logprobs": found}]} | usage).encode()


@given(pieces, pieces)
def test_the_boundary_is_where_the_continuations_first_token_is(context: list[str], continuation: list[str]) -> None:
    assert find_boundary([*context, *continuation], None, "".join(context), "".join(continuation)) == len(context)


@given(pieces, pieces, st.booleans())
def test_the_score_is_the_sum_over_the_continuation_alone(
    context: list[str], continuation: list[str], counted: bool
) -> None:
    tokens = [*context, *continuation, "generated"]
    values = [None, *(-float(place) for place in range(1, len(tokens)))]
    offsets = list(accumulate(map(len, tokens), initial=0))[:-1]
    prompt, end = "".join(context), len(tokens) - 1
    stripped = prompt.rstrip()
    answer = body(tokens, values, end if counted else None, offsets=offsets)
    try:
        score = decode_scoring(answer, prompt, "".join(continuation))
    except NoTokenBoundaryError:
        assert stripped not in list(accumulate(context, initial=""))
        return
    except BadResponseError:
        assert not stripped
        return
    start = list(accumulate(context, initial="")).index(stripped)
    assert score.logprob == sum(value for value in values[start:end] if value is not None)
    assert score.tokens == end - start
    assert score.greedy is None


def test_greedy_means_that_no_other_token_was_likelier() -> None:
    top = [None, {" is": -1.0, "x": -2.0}, {" it": -0.5}, {"z": -0.1}]
    answer = body(["What", " is", " it", "?"], [None, -1.0, -0.5, -3.0], 3, top)
    assert decode_scoring(answer, "What", " is it").greedy is True
    top[2] = {"other": -0.1, " it": -0.5}
    answer = body(["What", " is", " it", "?"], [None, -1.0, -0.5, -3.0], 3, top)
    assert decode_scoring(answer, "What", " is it").greedy is False


def test_bytes_of_one_character_in_several_tokens_are_all_counted() -> None:
    answer = body(["a", "", "", "🙂", "end"], [None, -1.0, -2.0, -4.0, -8.0], 4)
    assert decode_scoring(answer, "a", "🙂").logprob == -7


def test_replacement_characters_are_bridged_by_offsets() -> None:
    tokens, values = ["a", "\ufffd", "\ufffd", "end"], [None, -1.0, -2.0, -8.0]
    assert decode_scoring(body(tokens, values, 3, offsets=[0, 1, 2, 3]), "a", "é").logprob == -3


def test_a_token_across_the_boundary_is_refused_not_guessed() -> None:
    with pytest.raises(NoTokenBoundaryError, match="does not begin"):
        decode_scoring(body(["one", " twothr", "ee", "end"], [None, -1.0, -1.0, -1.0], 3), "one two", "three")


@pytest.mark.parametrize(
    "answer",
    [
        b'{"choices": [{"text": "x"}]}',
        b'{"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": []}}]}',
        body(["end"], [-1.0], None, offsets=[9]),
        body(["end"], [-1.0], 1),
        body(["one", " two", "end"], [None, None, -1.0], 2),
        body(["one", " two", "end"], [None, "x", -1.0], 2),
        body(["one", " two", "end"], [None, -1.0, -1.0], None),
    ],
)
def test_a_server_that_does_not_echo_is_found_out(answer: bytes) -> None:
    with pytest.raises(BadResponseError):
        decode_scoring(answer, "one", " two")
