"""Checkpoints as the watching pod numbers them: one write-once object each, so that a number means one checkpoint for good.

They lie at `<storage>/<namespace>/<schedule>/<uid>/found/<nnnnnn>.json`. Numbers are contiguous from 1: a watcher writes number
n + 1 only after it has read 1 to n, and creates the object exclusively, so two watchers never give a checkpoint two numbers.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from assay_api.base import Record
from assay_api.texts import CheckpointName

FOUND = "found/"
_KEY = re.compile(r"found/([0-9]{6,})\.json")


class Checkpoint(Record):
    """One checkpoint that has landed."""

    schema_: Literal["assay/checkpoint/v1"] = Field(default="assay/checkpoint/v1", alias="schema")
    number: int = Field(ge=1)
    name: CheckpointName
    """Its name directly below the watched prefix."""
    watched: str
    """Address of the prefix."""


def key(number: int) -> str:
    """Key of the checkpoint with this number, below the schedule's part of the store."""
    return f"{FOUND}{number:06d}.json"


def number_of(text: str) -> int | None:
    """The number of the checkpoint at this key; None when the key is none of theirs."""
    found = _KEY.fullmatch(text)
    return int(found[1]) if found else None
