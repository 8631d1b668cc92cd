"""What a failed S3 request means: is the object there, is it not, did the server refuse for good, or may it pass?

Messages carry the server's error code and, for refusals, its words; never a header, a signature or a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from assay_runner.certificates import refused_because
from assay_runner.store.s3_clock import SKEWED, http_date


class TookTooLong(Exception):
    """A request got no whole answer within the seconds that it may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


REQUEST_ERRORS = (ClientError, BotoCoreError, ResponseParserError, HTTPError, OSError, TookTooLong)
"""All that a request, and the reading of its answer, can raise for a reason outside this program."""

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)"
_EXPIRED = "the credentials have expired; renew them"
_REGION = "the bucket lies in another region; set spec.storage.region or AWS_REGION"
_REFUSALS = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the storage URI",
    "InvalidBucketName": "this is no valid name of a bucket; correct the storage URI",
    "InvalidAccessKeyId": f"the server does not know the access key; {_KEYS}",
    "XAdminUserNotFound": f"the server does not know the access key; {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key; {_KEYS}",
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": "the session token is not valid; check AWS_SESSION_TOKEN",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "EntityTooLarge": "the object is larger than the server takes; lower spec.chunkSize",
    "KeyTooLongError": "the key is too long; choose a shorter storage URI",
}
_GRANT = "grant s3:GetObject and s3:PutObject on the prefix and s3:ListBucket on the bucket"
_GRANT_DELETION = "grant s3:DeleteObject on the prefix, which only `assay delete` needs"
_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted", "Conflict", "409"})
_PASSING = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)


_AGAIN = "run the same command again when the server is well"
_ADDRESS = "check spec.storage.endpointUrl or AWS_ENDPOINT_URL_S3 and the network"
_SECRETS = re.compile(
    r"(?i)\b(signature|credential|authorization|[\w-]*(?:token|secret|password)[\w-]*)(\s*[=:]\s*)[^\s,;&]+"
)


class Kind(Enum):
    """What to do about a fault."""

    EXISTS = "exists"
    """The condition of a conditional write did not hold."""
    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    DENIED = "denied"
    PASSING = "passing"


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request."""

    kind: Kind
    clause: str
    """What happened, as the end of a sentence, without a full stop."""
    doubtful: bool = False
    """Whether a write may have taken effect all the same."""
    remedy: str = _AGAIN
    """What a person can do about a fault that did not pass."""
    wish: float | None = None
    """After how many seconds the server wants to be asked again."""


def understand(error: Exception) -> Fault:
    """What one of `REQUEST_ERRORS` means."""
    if isinstance(error, ClientError):
        return _answer(error)
    if isinstance(error, NoCredentialsError):
        return _denied(
            "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
            "or on a cluster spec.storage.credentialsSecretRef"
        )
    if isinstance(error, PartialCredentialsError):
        return _denied(f"the AWS credentials are incomplete; {_KEYS}")
    if isinstance(error, SSOError | LoginError | TokenRetrievalError):
        return _denied("the AWS login has expired; log in again, for instance with `aws sso login`")
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _denied(refused_because(str(error), "AWS_CA_BUNDLE"))
    return _transport(error)


def _transport(error: Exception) -> Fault:
    match error:
        case EndpointConnectionError() | ConnectTimeoutError() | ProxyConnectionError():
            return _passing("it cannot be reached", doubtful=False, remedy=_ADDRESS)
        case CredentialRetrievalError() | MetadataRetrievalError():
            return _passing("the service that hands out credentials did not answer as it should", doubtful=False)
        case TookTooLong(seconds=seconds):
            return _passing(f"its answer took longer than {seconds:.0f} s")
        case ReadTimeoutError():
            return _passing("it did not answer in time")
        case IncompleteReadError():
            return _passing("its answer was cut short")
        case ResponseParserError():
            return _passing("its answer is not that of an S3 server", remedy=_ADDRESS)
        case FileNotFoundError() | PermissionError():
            return _denied(f"the AWS settings name the file {error.filename}, which cannot be read; correct them")
        case SSLError() | HTTPClientError() | HTTPError() | OSError():
            return _passing("the connection broke")
        case _:
            return _denied(f"the AWS settings of this environment do not work ({type(error).__name__})")


def _answer(error: ClientError) -> Fault:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    metadata = error.response.get("ResponseMetadata", {})
    status, headers = int(metadata.get("HTTPStatusCode", 0)), metadata.get("HTTPHeaders", {})
    said = f"it answered {status} {code}".rstrip() if code != str(status) else f"it answered {status}"
    if status == 412 or code == "PreconditionFailed":
        return Fault(Kind.EXISTS, said)
    if code in _REFUSALS:
        return _denied(_REFUSALS[code])
    if code in _MISSING:
        return Fault(Kind.MISSING, said)
    if code == SKEWED:
        off = "this machine's clock and the server's are far apart, and signing by the server's did not help"
        return _passing(f"{said}: {off}", doubtful=False, remedy="set the clock of this machine or of the server")
    if status == 409 and code in _CONFLICTS:
        return _passing(said, doubtful=False, wish=_wish(headers))
    if code in _PASSING or status in (408, 429) or status < 300 or (status >= 500 and status != 501):
        return _passing(said, wish=_wish(headers))
    words = _SECRETS.sub(r"\1\2…", " ".join(str(details.get("Message", "")).split()))[:300].rstrip(".")
    said = f"{error.operation_name}: {said}" + (f" ({words})" if words else "")
    if error.operation_name.startswith("AssumeRole"):
        return _denied(f"{said}; check the role that AWS_ROLE_ARN or the profile names")
    if status == 403:
        return _denied(f"{said}; {_GRANT_DELETION if error.operation_name == 'DeleteObject' else _GRANT}")
    if 300 <= status < 400:
        return _denied(f"{said}; {_REGION}")
    return Fault(Kind.UNSUPPORTED, said) if status in (405, 501) else _denied(said)


def _wish(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After. A date in it is compared with the date of the answer: both are the server's."""
    asked = headers.get("retry-after", "").strip()
    if asked.isdigit():
        return float(asked[:9])
    then, now = http_date(asked), http_date(headers.get("date"))
    return max(0.0, (then - now).total_seconds()) if then and now else None


def _denied(clause: str) -> Fault:
    return Fault(Kind.DENIED, clause)


def _passing(clause: str, *, doubtful: bool = True, remedy: str = _AGAIN, wish: float | None = None) -> Fault:
    return Fault(Kind.PASSING, clause, doubtful, remedy, wish)
