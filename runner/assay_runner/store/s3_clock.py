"""Signs requests by the server's clock where this machine's is wrong.

S3 refuses signatures that are 15 minutes off, and a pod cannot set the clock of its node. So the `Date` of a refusal is
taken for the time from then on. Nothing else in the store asks what time it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4Auth

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SKEWED = "RequestTimeTooSkewed"
_TOO_FAR = timedelta(minutes=5)
"""A refusal by a server whose clock differs by more is put down to the clocks, whatever reason it gives: not every server
names this one, and the answer to a HEAD has no room for reasons."""
_SCHEME = "assay-s3v4"
_AHEAD = "assay_ahead"


def follow_server_clock(client: S3Client) -> None:
    """From now on `client` signs by the server's clock, once that has refused this machine's; such a refusal shows as
    `RequestTimeTooSkewed`."""
    ahead = timedelta()

    def learn(parsed_response: dict[str, Any] | None, context: dict[str, Any], **_: object) -> None:
        nonlocal ahead
        answered = (parsed_response or {}).get("ResponseMetadata", {})
        told = http_date(answered.get("HTTPHeaders", {}).get("date"))
        if parsed_response is None or answered.get("HTTPStatusCode") != 403 or told is None:
            return
        new = told - datetime.now(UTC)
        # Another thread may have learned it since this request was signed.
        if abs(new - context.get(_AHEAD, timedelta())) > _TOO_FAR:
            ahead = new
            parsed_response.setdefault("Error", {})["Code"] = SKEWED

    def choose(signature_version: object, context: dict[str, Any], **_: object) -> str | None:
        if signature_version not in ("v4", "s3v4") or not ahead:
            return None
        context[_AHEAD] = ahead
        return _SCHEME

    client.meta.events.register("response-received.s3", learn)
    client.meta.events.register("choose-signer.s3", choose)  # type: ignore[arg-type]  # its answer counts


def http_date(text: str | None) -> datetime | None:
    """The moment that a header names, or None."""
    try:
        moment = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


class _Shifted(S3SigV4Auth):
    """Signature version 4 at another time than this machine's."""

    def _modify_request_before_signing(self, request: Any) -> None:
        now = datetime.now(UTC) + request.context[_AHEAD]
        # Everything that is signed afterwards takes the time from here.
        request.context["timestamp"] = now.strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # not in the stubs


AUTH_TYPE_MAPS[_SCHEME] = _Shifted
