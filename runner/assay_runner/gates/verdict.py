"""Passed, failed or cannot tell: one gate against one score or one paired difference, by its interval and never by two naked
numbers.

Intervals are turned so that higher is better. A gate passes when its 95 % interval leaves no room for what it forbids: a score
beyond the bound, or a drop by the smallest difference that matters. It fails when the score is beyond the bound, or worse
than the baseline, by that interval.
"""

from __future__ import annotations

from assay_api.plan import GatePlan
from assay_api.results import MetricResult
from assay_api.verdicts import GateVerdict, Verdict
from assay_runner.compare.rows import Row
from assay_runner.compare.wording import amount, extent, number, p_text, questions, rounded, score_name
from assay_runner.statistics import paired
from assay_runner.statistics.paired import ALPHA, Difference

Interval = tuple[float, float]


def tell(low: float, high: float, *, tolerated: float | None) -> Verdict:
    """The verdict on a difference with the interval [low, high], above zero being better.

    Args:
        tolerated: the smallest drop against a baseline that matters; None for a bound, which may be touched.
    """
    if low >= 0 if tolerated is None else low > -tolerated:
        return "passed"
    return "failed" if high < 0 else "cannot tell"


def against_bound(gate: GatePlan, score: MetricResult | None) -> GateVerdict:
    """The verdict on a score that is to be at least `minimum`, or at most `maximum`."""
    bound = gate.minimum if gate.minimum is not None else gate.maximum
    assert bound is not None, "a gate has one criterion"
    if score is None:
        return untold(gate, "the results have no such score")
    if not isinstance(score.value, float | int) or score.ci_low is None or score.ci_high is None:
        return untold(gate, "the score has no interval" if score.value is not None else "no question has a score")
    value, low, high = float(score.value), score.ci_low - bound, score.ci_high - bound
    verdict = tell(*_turned(gate, (low, high)), tolerated=None)
    units = score.clusters or score.n
    needed = None
    if verdict == "cannot tell" and value != bound:
        # The end of the interval that lies beyond the bound has to come back to it.
        needed = _more(score.n, value - score.ci_low if value > bound else score.ci_high - value, value - bound)
    return _bare(gate).model_copy(
        update={
            "verdict": verdict,
            "message": _about_bound(gate, score, value, bound, verdict, needed),
            "value": value,
            "reference": bound,
            "difference": value - bound,
            "ci_low": low,
            "ci_high": high,
            "method": score.method,
            "n": score.n,
            "clusters": score.clusters,
            "detectable": paired.minimum_detectable(score.stderr, units - 1) if score.stderr and units > 1 else None,
            "needed": needed,
        }
    )


def against_baseline(gate: GatePlan, row: Row, notes: tuple[str, ...] = ()) -> GateVerdict:
    """The verdict on the difference to the baseline, which is A of `row`."""
    found, smallest = row.difference, gate.smallest_difference
    assert smallest is not None, "a baseline comes with the smallest difference that matters"
    figures = {
        "value": found.value_b,
        "reference": found.value_a,
        "difference": found.difference,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p_value": found.p_value,
        "method": found.method,
        "n": found.n,
        "clusters": found.clusters,
        "left_out": row.left_out,
        "detectable": paired.minimum_detectable(found.stderr, found.degrees)
        if found.stderr and found.degrees
        else None,
        "notes": notes,
    }
    interval = _interval(found)
    if interval is None:
        why = row.note or "too few questions say the same for a test"
        return untold(gate, why).model_copy(update=figures)
    verdict = tell(*_turned(gate, interval), tolerated=smallest)
    width = interval[1] - interval[0]
    # An interval shorter than the smallest difference cannot hold both 0 and that drop.
    needed = _more(found.n, width, smallest) if verdict == "cannot tell" else None
    message = _about_difference(gate, row, interval, verdict, needed)
    return _bare(gate).model_copy(update={**figures, "verdict": verdict, "message": message, "needed": needed})


def untold(gate: GatePlan, why: str) -> GateVerdict:
    """The verdict on a gate that cannot be judged; `why` is a phrase."""
    return _bare(gate).model_copy(update={"message": f"{_name(gate)} cannot be judged: {why.rstrip('.')}."})


def _bare(gate: GatePlan) -> GateVerdict:
    return GateVerdict(
        name=gate.name,
        task=gate.task,
        metric=gate.metric,
        filter=gate.filter,
        higher_is_better=gate.higher_is_better,
        verdict="cannot tell",
        message="",
        reference=gate.minimum if gate.minimum is not None else gate.maximum,
        smallest_difference=gate.smallest_difference,
        baseline=gate.baseline,
    )


def _interval(found: Difference) -> Interval | None:
    """Where the true difference lies; None when that is not known."""
    if found.ci_low is not None and found.ci_high is not None:
        return found.ci_low, found.ci_high
    if found.difference is None:
        return None
    # Without spread there is no interval, but all questions say the same: when there are enough of them it is the difference.
    agreed = found.method == "sign" and found.p_value is not None and found.p_value < ALPHA
    return (found.difference, found.difference) if agreed or found.method == "identical" else None


def _turned(gate: GatePlan, interval: Interval) -> Interval:
    low, high = interval
    return (low, high) if gate.higher_is_better else (-high, -low)


def _more(n: int, reach: float, wanted: float) -> int:
    """Documents for which `reach`, which shrinks with the root of their number, would be `wanted`; more than there are."""
    return max(n + 1, paired.documents_needed(n, reach, wanted))


def _name(gate: GatePlan) -> str:
    return score_name(gate.task, gate.metric, gate.filter)


def _about_bound(
    gate: GatePlan, score: MetricResult, value: float, bound: float, verdict: Verdict, needed: int | None
) -> str:
    on = extent(score.n, score.clusters)
    seen = f"{value:.4f} (95 % CI {score.ci_low:.4f} to {score.ci_high:.4f}, {on})".replace("-", "−")
    within, beyond = ("at least", "below") if gate.minimum is not None else ("at most", "above")
    if verdict == "passed":
        return f"{_name(gate)} is {within} {bound:g}: {seen}."
    if verdict == "failed":
        return f"{_name(gate)} is {beyond} {bound:g}: {seen}."
    said = f"Whether {_name(gate)} is {within} {bound:g} cannot be told: {seen}"
    if needed is None:
        return f"{said}; the score lies on the bound itself, which no number of questions settles."
    return (
        f"{said}; about {rounded(needed)} questions ({rounded(needed - score.n)} more) would tell if the score stays."
    )


def _about_difference(gate: GatePlan, row: Row, interval: Interval, verdict: Verdict, needed: int | None) -> str:
    smallest = gate.smallest_difference or 0.0
    name, drop = _name(gate), f"{amount(row, smallest)} or more"
    if verdict == "passed":
        said = f"{name} is not worse than the baseline by {drop}: {_seen(gate, row)}"
    elif verdict == "failed":
        certain = _turned(gate, interval)[1] <= -smallest
        said = f"{name} is worse than the baseline{'' if certain else ', perhaps'} by {drop}: {_seen(gate, row)}"
    else:
        assert needed is not None, "it can be told with more questions"
        said = (
            f"Whether {name} is worse than the baseline by {drop} cannot be told: {_seen(gate, row)}; about "
            f"{rounded(needed)} questions ({rounded(needed - row.difference.n)} more) would tell, or a smallestDifference "
            f"above {interval[1] - interval[0]:.2g}"
        )
    return f"{said}{_left_out(gate, row, smallest, verdict)}."


def _seen(gate: GatePlan, row: Row) -> str:
    found = row.difference
    assert found.difference is not None and found.p_value is not None
    details = "every question, or cluster of them, says the same"
    if found.ci_low is not None and found.ci_high is not None:
        details = f"95 % CI {number(row, found.ci_low)} to {number(row, found.ci_high)}"
    lower = "" if gate.higher_is_better else ", lower being better"
    on = extent(found.n, found.clusters)
    return f"{amount(row, found.difference)} ({details}, {p_text(found.p_value)}, {on}){lower}"


def _left_out(gate: GatePlan, row: Row, smallest: float, verdict: Verdict) -> str:
    if not row.left_out:
        return ""
    said = f"; {questions(row.left_out)} without a score in both runs {'is' if row.left_out == 1 else 'are'} left out"
    if verdict != "passed" or row.bounds is None:
        return said
    worst, _ = _turned(gate, row.bounds)
    return said if worst > -smallest else f"{said}, whose scores could turn the verdict"
