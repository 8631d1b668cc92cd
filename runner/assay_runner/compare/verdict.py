"""What a row says: Holm's correction within its family, a verdict at 5 %, and a sentence a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay_api.comparison import Bounds, McNemar, MetricComparison, UsualErrors, Verdict
from assay_runner.compare.rows import Row
from assay_runner.compare.wording import amount, extent, number, p_text, questions, rounded, score_name, span
from assay_runner.statistics import paired
from assay_runner.statistics.aggregations import Value
from assay_runner.statistics.paired import ALPHA


@dataclass(frozen=True, slots=True)
class Judged:
    """A row with its place in the comparison."""

    row: Row
    about: str
    """Task or group, for sentences."""
    headline: bool
    p_adjusted: float | None = None
    family: int = 1
    """Rows that were tested together."""


def judge(rows: Sequence[tuple[Row, str, bool]]) -> list[MetricComparison]:
    """The finished comparisons of (row, task or group, headline), in the same order; headlines are one family, the others
    another."""
    judged = [Judged(*row) for row in rows]
    for headline in (True, False):
        places = [
            i for i, one in enumerate(judged) if one.headline is headline and one.row.difference.p_value is not None
        ]
        p_values = [judged[i].row.difference.p_value or 0.0 for i in places]
        for place, adjusted in zip(places, paired.holm(p_values), strict=True):
            old = judged[place]
            judged[place] = Judged(old.row, old.about, old.headline, adjusted, len(places))
    return [_finished(one) for one in judged]


def sentence(judged: Judged) -> str:
    """The row in words."""
    row = judged.row
    verdict = _verdict(judged)
    name = _name(judged)
    said = _SENTENCES[verdict](judged, name)
    if not row.left_out:
        return said
    said += f" {questions(row.left_out)} without a score in both runs {'is' if row.left_out == 1 else 'are'} left out"
    if row.bounds is None:
        return f"{said}, which may bias the difference."
    low, high = row.bounds
    said += f": whatever they would have scored, B − A over all questions lies between {span(row, low, high)}"
    certain = (low > 0) if (row.difference.difference or 0.0) > 0 else (high < 0)
    return (
        f"{said}{'' if verdict not in ('better', 'worse') or certain else ', so the failures could turn the verdict'}."
    )


def _finished(judged: Judged) -> MetricComparison:
    row, found = judged.row, judged.row.difference
    detectable = needed = None
    if found.stderr and found.degrees:
        detectable = paired.minimum_detectable(found.stderr, found.degrees)
        needed = paired.documents_needed(found.n, detectable, found.difference) if found.difference else None
    counts = row.counts
    wins, losses = (counts.higher, counts.lower) if counts else (None, None)
    if not row.higher_is_better:
        wins, losses = losses, wins
    usual = None
    if found.usual_stderr is not None and found.usual_p_value is not None:
        usual = UsualErrors(stderr=found.usual_stderr, p_value=found.usual_p_value)
    return MetricComparison(
        metric=row.metric,
        filter=row.filter,
        headline=judged.headline,
        higher_is_better=row.higher_is_better,
        n=found.n,
        clusters=found.clusters,
        left_out=row.left_out,
        value_a=row.value_a,
        value_b=row.value_b,
        difference=_delta(row),
        stderr=found.stderr,
        degrees=found.degrees,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p_value=found.p_value,
        p_adjusted=judged.p_adjusted,
        method=found.method,
        usual=usual,
        wins=wins,
        losses=losses,
        ties=counts.same if counts else None,
        mcnemar=McNemar(p_value=paired.mcnemar(counts.higher, counts.lower))
        if counts and row.binary and found.n
        else None,
        detectable=detectable,
        needed=needed,
        bounds=Bounds(low=row.bounds[0], high=row.bounds[1]) if row.bounds else None,
        note=row.note,
        verdict=_verdict(judged),
        sentence=sentence(judged),
    )


def _verdict(judged: Judged) -> Verdict:
    found = judged.row.difference
    if found.method == "identical":
        return "identical"
    if judged.p_adjusted is None or found.difference is None:
        return "unknown"
    if judged.p_adjusted >= ALPHA:
        return "undecided"
    return "better" if (found.difference > 0) is judged.row.higher_is_better else "worse"


def _told(judged: Judged, name: str) -> str:
    row, found = judged.row, judged.row.difference
    assert found.difference is not None
    winner = "B" if _verdict(judged) == "better" else "A"
    details = []
    if found.ci_low is not None and found.ci_high is not None:
        ends = sorted((abs(found.ci_low), abs(found.ci_high)))
        details.append(f"95 % CI {number(row, ends[0])} to {number(row, ends[1])}")
    else:
        details.append("every question, or cluster of them, says the same")
    details += [_p(judged), _extent(row)]
    lower = "" if row.higher_is_better else ", lower being better"
    return f"{winner} is better on {name} by {amount(row, abs(found.difference))} ({', '.join(details)}){lower}."


def _not_told(judged: Judged, name: str) -> str:
    row, found = judged.row, judged.row.difference
    assert found.difference is not None and found.p_value is not None
    details = []
    if found.ci_low is not None and found.ci_high is not None:
        details.append(f"95 % CI {number(row, found.ci_low)} to {number(row, found.ci_high)}")
    details += [_p(judged), _extent(row)]
    allowed = f" once {judged.family} comparisons are allowed for" if found.p_value < ALPHA else ""
    said = (
        f"No difference can be told on {name}{allowed}: B − A = {amount(row, found.difference)} ({', '.join(details)})"
    )
    if not found.stderr or not found.degrees:
        return f"{said}."
    detectable = paired.minimum_detectable(found.stderr, found.degrees)
    said += f"; with these questions only differences of {amount(row, detectable)} or more would be found in four of five tries"
    if found.difference:
        needed = paired.documents_needed(found.n, detectable, found.difference)
        if needed > found.n:
            said += f"; about {rounded(needed)} questions would be needed for the difference seen"
    return f"{said}."


def _identical(judged: Judged, name: str) -> str:
    n = judged.row.difference.n
    each = "the one question" if n == 1 else f"every one of the {n:,} questions"
    return f"A and B score the same on {each} of {name}: the difference is 0."


def _unknown(judged: Judged, name: str) -> str:
    row = judged.row
    why = row.note or "there is no error"
    delta = row.difference.difference
    if delta is None:
        return f"A and B cannot be compared on {name}: {why}."
    return f"B − A = {amount(row, delta)} on {name} ({_extent(row)}); whether that is more than chance cannot be said: {why}."


_SENTENCES = {
    "better": _told,
    "worse": _told,
    "undecided": _not_told,
    "identical": _identical,
    "unknown": _unknown,
}


def _delta(row: Row) -> Value:
    if isinstance(row.value_a, dict) and isinstance(row.value_b, dict):
        pairs = {key: (row.value_a.get(key), row.value_b.get(key)) for key in {**row.value_a, **row.value_b}}
        return {key: None if a is None or b is None else b - a for key, (a, b) in pairs.items()}
    return row.difference.difference


def _name(judged: Judged) -> str:
    return score_name(judged.about, judged.row.metric, judged.row.filter)


def _extent(row: Row) -> str:
    return extent(row.difference.n, row.difference.clusters)


def _p(judged: Judged) -> str:
    assert judged.row.difference.p_value is not None and judged.p_adjusted is not None
    if judged.family == 1:
        return p_text(judged.row.difference.p_value)
    return f"{p_text(judged.p_adjusted)} after Holm's correction for {judged.family} comparisons"
