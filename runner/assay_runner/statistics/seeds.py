"""Seeds that depend on names alone: whoever draws a random number for a sample or a metric, anywhere and in any order,
starts from the same seed, because it is a hash of what the number is for and not the state of a shared generator.
"""

from __future__ import annotations

import hashlib
import re

from assay_api.base import canonical

_PLAIN = re.compile(r"[ !#-\[\]-~]*").fullmatch
"""Whether JSON writes a text as it is, between quotes."""
_QUOTED = '"{}"'


def derive_seed(seed: int, *parts: str) -> int:
    """A seed for the thing that `parts` name, from the run's own `seed`; 0 ≤ result < 2³².

    It is the first four bytes (big-endian) of the SHA-256 of the canonical JSON list `[seed, *parts]`, so no two lists
    of parts share an encoding: ("a", "bc") and ("ab", "c") differ.
    """
    if all(map(_PLAIN, parts)):
        named = f"[{','.join([str(seed), *map(_QUOTED.format, parts)])}]".encode()
    else:
        named = canonical([seed, *parts])
    return int.from_bytes(hashlib.sha256(named).digest()[:4], "big")
