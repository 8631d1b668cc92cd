"""The numbers of the worked example in docs/statistics.md are those that the code gives."""

import re
from pathlib import Path

import pytest

from assay_runner.statistics import aggregations, repeats
from assay_runner.statistics.estimate import estimate, of_numbers
from assay_runner.statistics.group import mean_of_tasks
from assay_runner.statistics.intervals import t_quantile

ANSWERS = [1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1]
SCORES = [0.9, 0.4, 0.7, 0.5, 0.8]
SAMPLES = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]]
ERRORS = [[1, 8], [0, 5], [3, 10], [2, 4], [0, 9], [1, 6]]


@pytest.fixture(scope="module")
def paragraphs():
    text = (Path(__file__).parents[3] / "docs/statistics.md").read_text(encoding="utf-8")
    example = text.split("## Worked example")[1].split("\n## ")[0]
    return [set(re.findall(r"\d+\.\d{4}", paragraph)) for paragraph in example.split("\n\n")[1:]]


def shown(*numbers):
    return {f"{number:.4f}" for number in numbers}


def figures(found):
    return found.value, found.stderr, found.ci_low, found.ci_high


def test_the_answers_about_images(paragraphs):
    alone, clustered = of_numbers(ANSWERS), of_numbers(ANSWERS, list("aaabbbcccddd"))
    uncut = clustered.value + t_quantile(3) * clustered.stderr
    assert paragraphs[1] == shown(*figures(alone), *figures(clustered), t_quantile(3), uncut)


def test_the_scores_and_the_group(paragraphs):
    group = mean_of_tasks([of_numbers(ANSWERS), of_numbers(SCORES)], weight_by_size=False)
    errors = of_numbers(ANSWERS).stderr, of_numbers(SCORES).stderr
    assert paragraphs[2] == shown(*figures(of_numbers(SCORES)), t_quantile(4), *figures(group), *errors)


def test_the_repeats(paragraphs):
    assert paragraphs[3] == shown(*(repeats.pass_at(SAMPLES, k).estimate.value for k in repeats.steps(4)))


def test_the_transcriptions(paragraphs):
    assert paragraphs[4] == shown(*figures(estimate(ERRORS, aggregations.get("wer"), None, 0)))
