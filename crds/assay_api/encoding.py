"""The canonical encoding and its digest, apart from the models, so that small processes need not import pydantic."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """Canonical JSON of plain data; equal values have equal bytes.

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: a value is not plain data.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """The hexadecimal SHA-256 digest of `data`."""
    return hashlib.sha256(data).hexdigest()
