"""What one chunk contributes to the results: items by metric, clusters, errors, times. Compact, to go through a pipe.

Numbers are packed into arrays; other items stay the JSON data they are. It holds no text of the records but the lines that
were asked for, so what the reducer keeps of a run does not grow with its prompts and answers.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from assay_runner.rows import Row, decode_filtered

if TYPE_CHECKING:
    from assay_api.records import SampleRecord

CLUSTER = 16
"""Bytes of the digest that stands for a cluster's name: clusters are told apart, never shown."""
NO_CLUSTER = bytes(CLUSTER)


class Column(msgspec.Struct):
    """The items of one metric in a chunk, in planned order."""

    kind: str
    """Type code of `array` when all items are floats (d), whole numbers (q) or booleans (b); else empty."""
    values: Any
    """The array's bytes, or a list of JSON data."""
    places: bytes | None
    """Place in the chunk of each item's sample (array of i); None when every sample has an item."""
    ballots: bytes | None
    """With repeats: for each item the first item of its document whose filtered answer is the same, or −1 for an item
    without an answer (array of i)."""


class Lines(msgspec.Struct):
    """Which of a chunk's lines are wanted as they are."""

    places: list[int] = []
    errors: int = 0
    """As many of the failed samples' lines, from the first on."""


class ChunkTally(msgspec.Struct):
    """One chunk's part of everything that is computed from all."""

    columns: dict[str, Column]
    """Key of the item in the records (`metric` or `metric,filter`) → items."""
    clusters: bytes
    """Digest of each document's cluster, `NO_CLUSTER` where none is known; empty when no document has one."""
    errors: dict[str, int]
    """Failed samples by class of error."""
    latency: bytes
    """Array of d, seconds."""
    first_token: bytes
    retried: int
    tokens_in: int
    tokens_out: int
    tokens_reasoning: int
    tokens_good: int
    """Of `tokens_out`, those of samples that did not fail."""
    queue: bytes
    """As `latency`."""
    stages: tuple[float, float, float]
    """Seconds of decoding, encoding and scoring."""
    lines: dict[int, bytes]
    """Place in the chunk → the sample's line, without its end."""


def tally_chunk(rows: Sequence[Row | SampleRecord], repeats: int, lines: Sequence[bytes], wanted: Lines) -> ChunkTally:
    """Count the verified rows of a chunk, whose lines are given too.

    Raises:
        OverflowError: there is a number that arrays or messages cannot hold.
    """
    failed = {place: error for place, row in enumerate(rows) if (error := row.error) is not None}
    good = [place for place in range(len(rows)) if place not in failed]
    usages = [usage for row in rows if (usage := row.usage) is not UNSET]
    tokens_out = sum([one.tokens_out or 0 for one in usages])
    # A sample that was scored has a time for it; one that was not has none of these.
    timed = [one for one in usages if one.scoring is not None]
    lost = sum([usage.tokens_out or 0 for place in failed if (usage := rows[place].usage) is not UNSET])
    return ChunkTally(
        columns=_columns(rows, lines, good, repeats),
        clusters=_clusters(rows, good, repeats),
        errors=Counter(error.kind for error in failed.values()),
        latency=array("d", [one.latency for one in usages if one.latency is not None]).tobytes(),
        first_token=array("d", [one.first_token for one in usages if one.first_token is not None]).tobytes(),
        retried=sum([row.attempts > 1 for row in rows]),
        tokens_in=sum([one.tokens_in or 0 for one in usages]),
        tokens_out=tokens_out,
        tokens_reasoning=sum([one.tokens_reasoning or 0 for one in timed]),
        tokens_good=tokens_out - lost,
        queue=array("d", [one.queue for one in timed if one.queue is not None]).tobytes(),
        stages=(
            sum([one.decoding or 0.0 for one in timed]),
            sum([one.encoding or 0.0 for one in timed]),
            sum([one.scoring or 0.0 for one in timed]),
        ),
        lines={
            place: lines[place].removesuffix(b"\n")
            for place in sorted({*wanted.places, *islice(failed, wanted.errors)})
        },
    )


def pack(values: list[Any]) -> tuple[str, array[Any] | list[Any]]:
    """The values as an array where one holds them as they are, and its type code; else the list itself."""
    kinds = set(map(type, values))
    code = _CODES.get(kinds.pop(), "") if len(kinds) == 1 else ""
    try:
        return (code, array(code, values)) if code else ("", values)
    except OverflowError:
        return "", values


_CODES = {float: "d", int: "q", bool: "b"}


def _columns(
    rows: Sequence[Row | SampleRecord], lines: Sequence[bytes], good: list[int], repeats: int
) -> dict[str, Column]:
    items = [rows[place].items for place in good]
    # Nearly always all samples have items of the same metrics, and then no item need be looked for twice.
    with suppress(KeyError):
        if len(set(map(len, items))) == 1:
            every = {key: [one[key] for one in items] for key in items[0]}
            return {key: _column(lines, key, good, values, repeats) for key, values in every.items()}
    columns = {}
    for key in dict.fromkeys(key for one in items for key in one):
        places = [place for place in good if key in rows[place].items]
        columns[key] = _column(lines, key, places, [rows[place].items[key] for place in places], repeats)
    return columns


def _column(lines: Sequence[bytes], key: str, places: list[int], items: list[Any], repeats: int) -> Column:
    kind, values = pack(items)
    return Column(
        kind=kind,
        values=values.tobytes() if isinstance(values, array) else values,
        places=array("i", places).tobytes() if len(places) < len(lines) else None,
        ballots=_ballots(lines, key, places, repeats).tobytes() if repeats > 1 else None,
    )


def _ballots(lines: Sequence[bytes], key: str, places: list[int], repeats: int) -> array[int]:
    filtered = key.partition(",")[2] or "none"
    ballots = array("i")
    document = -1
    first: dict[str, int] = {}
    for place in places:
        if place // repeats != document:
            document, first = place // repeats, {}
        answer = decode_filtered(lines[place]).get(filtered)
        kept = answer if answer is None or isinstance(answer, str) else str(answer)
        ballots.append(-1 if kept is None else first.setdefault(kept, place % repeats))
    return ballots


def _clusters(rows: Sequence[Row | SampleRecord], good: list[int], repeats: int) -> bytes:
    names = {place // repeats: name for place in good if (name := rows[place].cluster) is not None}
    if not names:
        return b""
    digests: dict[str | None, bytes] = {None: NO_CLUSTER}
    digests |= {name: hashlib.blake2b(name.encode(), digest_size=CLUSTER).digest() for name in set(names.values())}
    return b"".join([digests[names.get(document)] for document in range(len(rows) // repeats)])
