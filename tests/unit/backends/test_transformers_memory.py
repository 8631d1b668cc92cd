"""What is learned of the memory, and what it holds for."""

from assay_runner.backends.transformers_batches import Score
from assay_runner.backends.transformers_memory import Sizes
from support.models import score


def group(count: int, length: int) -> Score:
    requests = tuple(score(str(number), "a", "b") for number in range(count))
    return Score(requests, ([1] * (length - 1),) * count, ([1],) * count)


def test_nothing_is_divided_before_the_memory_has_run_out() -> None:
    assert Sizes().fitting(group(64, 100)) == 64


def test_sizes_are_powers_of_two_down_to_one() -> None:
    sizes, tried = Sizes(), [50]
    while tried[-1] > 1:
        tried.append(sizes.halve(group(50, 100), tried[-1]))
    assert tried == [50, 32, 16, 8, 4, 2, 1]


def test_what_was_too_much_for_some_prompts_is_too_much_for_longer_ones_and_not_for_shorter_ones() -> None:
    sizes = Sizes()
    sizes.halve(group(64, 100), 64)
    assert sizes.fitting(group(64, 1000)) == 32
    assert sizes.fitting(group(64, 100)) == 32
    assert sizes.fitting(group(64, 10)) == 64
    assert sizes.fitting(group(7, 100)) == 7
