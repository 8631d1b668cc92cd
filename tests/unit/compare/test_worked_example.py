"""The numbers of the worked example in docs/compare.md are those that the code gives."""

import re
from pathlib import Path

from assay_runner.statistics import paired
from assay_runner.statistics.intervals import t_quantile


def test_the_worked_example():
    text = (Path(__file__).parents[3] / "docs/compare.md").read_text(encoding="utf-8")
    example = text.split("## Worked example")[1].split("\n## ")[0]
    a, b = ([int(mark) for mark in re.findall(r"[01]\b", row)] for row in re.findall(r"`([01 |]+)`", example))
    alone, clustered = paired.difference(a, b), paired.difference(a, b, list("aaabbbcccddd"))
    counts = paired.counts(a, b)
    assert (counts.higher, counts.lower, counts.same) == (2, 1, 9)
    detectable = paired.minimum_detectable(clustered.stderr, 3)
    numbers = (
        *(alone.difference, alone.stderr, alone.p_value, paired.mcnemar(2, 1)),
        *(clustered.stderr, -clustered.ci_low, clustered.ci_high, clustered.p_value),
        *(t_quantile(3), t_quantile(3, 0.8), detectable),
    )
    assert set(re.findall(r"\d+\.\d{4}", example)) == {f"{number:.4f}" for number in numbers}
    assert f"{paired.documents_needed(12, detectable, clustered.difference)} questions" in example
