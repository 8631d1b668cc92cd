"""What an HTTP answer means for a sample: an answer, a passing fault of this request or of the endpoint, a lasting fault
of this request, or the end of the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from assay_runner.backends.http_errors import read_error, way_out

Outcome = Literal["answer", "retry", "load", "away", "row", "fatal"]
"""`retry`, `load` and `away` may pass: the request's own fault, too many requests, and a gateway without its server."""

_PASSING = frozenset({408, 409, 425})
_LOAD = frozenset({429, 503, 529})
_AWAY = frozenset({502, 504})
_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an answer. `kind` and `message` describe the fault; both are empty for an answer."""

    outcome: Outcome
    kind: str = ""
    message: str = ""


def judge(status: int, body: bytes, secret: str | None) -> Verdict:
    """The meaning of an HTTP status with its body; `secret` is blanked out of the message."""
    if status == 200:
        return Verdict("answer")
    said = excerpt(body, secret)
    if status in (401, 403):
        return Verdict("fatal", f"HTTP{status}", f"refuses the credentials (HTTP {status}): {said}")
    if status == 404:
        return Verdict("fatal", "HTTP404", f"knows no such model or path (HTTP 404): {said}")
    if 300 <= status < 400:
        return Verdict("fatal", f"HTTP{status}", f"redirects (HTTP {status}), which is not followed")
    if status == 429 and b"insufficient_quota" in body:
        return Verdict("fatal", "HTTP429", f"has no quota left for this key: {said}")
    if status in _LOAD:
        return Verdict("load", f"HTTP{status}", said)
    if status in _AWAY:
        return Verdict("away", f"HTTP{status}", said)
    if status in _PASSING or status >= 500:
        return Verdict("retry", f"HTTP{status}", said)
    error = read_error(body)
    if status in (400, 413, 422) and error.kind is not None:
        told = (
            said
            if error.unknown is None
            else f"the server does not take {error.unknown}; {way_out(error.unknown)} ({said})"
        )
        return Verdict("row", error.kind, told)
    return Verdict("row", f"HTTP{status}", said)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: delay in seconds or a date); None when it says
    nothing usable."""
    if not value:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def excerpt(body: bytes, secret: str | None) -> str:
    """The reason a body gives, or its beginning, short enough for a message, on one line and without `secret`."""
    text = " ".join(read_error(body).message.split())
    if secret:
        text = text.replace(secret, "[key]")
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"
