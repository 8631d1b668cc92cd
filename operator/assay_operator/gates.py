"""Tells the verdicts on gates that the reducer gave: rows of the status, one condition, a note.

A gate that fails does not fail the job: the numbers are good, the model is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay_api.evaljob import EvalJobSpec
from assay_api.reports import GateWord
from assay_api.status import GateResult
from assay_operator.draft import Draft

_LONGEST = 1500


def tell_gates(draft: Draft, words: Sequence[GateWord]) -> None:
    """Write the verdicts into the draft; nothing for a job without gates."""
    if not words:
        return
    draft.results["gates"] = _rows(draft.spec, words)
    count = f"{len(words)} gate{'s' * (len(words) > 1)}"
    if failed := [word for word in words if word.verdict == "failed"]:
        draft.conditions.set("GatesPassed", "False", "GateFailed", _said(f"{len(failed)} of {count} failed", failed))
    elif untold := [word for word in words if word.verdict == "cannot tell"]:
        said = _said(f"{len(untold)} of {count} cannot be told", untold)
        draft.conditions.set("GatesPassed", "Unknown", "CannotTell", said)
    else:
        draft.conditions.set("GatesPassed", "True", "AllPassed", f"{count} passed.")


def note_of_gates(words: Sequence[GateWord]) -> str:
    """What a person should know of a complete job: the worst verdict that is not `passed`, in words."""
    for verdict in ("failed", "cannot tell"):
        if found := next((word for word in words if word.verdict == verdict), None):
            return f"Gate {found.name}: {found.message or verdict}"
    return ""


def _said(count: str, words: Sequence[GateWord]) -> str:
    return f"{count}: " + " ".join(f"{word.name}: {word.message}" for word in words)[: _LONGEST - len(count)]


def _rows(spec: EvalJobSpec, words: Sequence[GateWord]) -> list[GateResult]:
    asked = {gate.name: gate for gate in spec.gates}
    rows = []
    for word in words:
        gate = asked.get(word.name)
        filtered = f" ({gate.filter})" if gate is not None and gate.filter else ""
        rows.append(
            GateResult(
                name=word.name,
                task=gate.task if gate is not None else "?",
                metric=f"{gate.metric}{filtered}" if gate is not None else "?",
                verdict=word.verdict,
                message=word.message,
            )
        )
    return rows
