"""Marks on the models that only the API server reads: rules in CEL, and how lists are merged.

A rule's sentence says what is wrong and, after a semicolon, what to do. Where a laptop can check the same, a validator of
the model raises the same sentence; the rest (what may not change any more, addresses that only a cluster can reach) has
no counterpart there.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.config import JsonDict

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"


@dataclass(frozen=True)
class Rule:
    """A condition on a value and the sentence for the person whose value breaks it."""

    cel: str
    sentence: str
    field: str | None = None
    """Path of the field that is to blame, relative to the value, such as `.spec.model`."""


def checked(*rules: Rule) -> JsonDict:
    """Marks a model or a field with rules, for `json_schema_extra`."""
    return {VALIDATIONS: [_validation(rule) for rule in rules]}


def keyed(*keys: str) -> JsonDict:
    """Marks a list whose entries are told apart by these fields; no two may agree in all of them."""
    return {LIST_TYPE: "map", LIST_KEYS: list(keys)}


def refuse_doubles(what: str, names: list[str]) -> None:
    """The models' side of `keyed`: raise ValueError when a name is there twice."""
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{what} {doubled[0]} is listed twice; list each {what} once")


def _validation(rule: Rule) -> JsonDict:
    validation: JsonDict = {"rule": rule.cel, "message": rule.sentence}
    if rule.field:
        validation["fieldPath"] = rule.field
    return validation
