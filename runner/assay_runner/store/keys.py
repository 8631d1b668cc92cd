"""What a key may look like, the same for every store, so that a key which works on a laptop works on a cluster and no
key leads out of the store's root."""

from __future__ import annotations

import re

from assay_runner.store.base import StoreDenied

TEMPORARY = ".tmp-"
"""How names begin that folder stores keep for unfinished files; no part of a key may begin so."""

_LONGEST = 1024
"""Bytes of UTF-8: S3's bound on a key."""

_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def check_key(key: str) -> str:
    """`key`, when an object may lie there.

    Raises:
        StoreDenied: it is absolute, has empty or dot parts, a reserved name or control characters, or is too long.
    """
    problem = _problem(key)
    if problem:
        raise StoreDenied(f"{key[:200]!r} cannot be a key in the store: {problem}.")
    return key


def check_folder(prefix: str) -> str:
    """`prefix`, when keys may lie below it: "" or a key followed by `/`.

    Raises:
        StoreDenied: it is neither.
    """
    if not prefix:
        return prefix
    problem = _problem(prefix.removesuffix("/")) if prefix.endswith("/") else "it must end in '/'"
    if problem:
        raise StoreDenied(f"{prefix[:200]!r} cannot be a folder in the store: {problem}.")
    return prefix


def below(uri: str, key: str) -> str:
    """The address of `key` under the root `uri`."""
    return f"{uri}{key}" if uri.endswith("/") else f"{uri}/{key}"


def _problem(key: str) -> str | None:
    between = f"/{key}/"
    if "//" in between:
        return "it starts or ends with '/' or has an empty part"
    if "/./" in between or "/../" in between:
        return "it has '.' or '..' as a part"
    if f"/{TEMPORARY}" in between:
        return f"names that begin with {TEMPORARY!r} are reserved"
    if not (key.isascii() and key.isprintable()) and _UNWRITABLE.search(key):
        return "it has control characters"
    if len(key.encode()) > _LONGEST:
        return f"it is longer than {_LONGEST} bytes"
    return None
