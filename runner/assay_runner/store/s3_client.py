"""A boto3 client as the store needs it: no retries of its own, bounded waits, and nothing that only AWS understands.

Credentials, profiles, proxies and certificate authorities are found the way every boto3 user expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound

from assay_api.errors import SpecError
from assay_runner.store.base import StoreDenied
from assay_runner.store.s3_clock import follow_server_clock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_CONNECTIONS = 32


def make_client(
    endpoint_url: str | None,
    region: str | None,
    environ: Mapping[str, str],
    *,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> S3Client:
    """A client for `endpoint_url` and `region`, or what `environ` and boto3's configuration say instead.

    Args:
        read_seconds: the longest silence of the server within one answer.

    Raises:
        SpecError: the endpoint is no URL.
        StoreDenied: boto3's configuration is not usable.
    """
    endpoint = endpoint_url or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None
    if endpoint is not None and not _is_url(endpoint):
        raise SpecError(
            "spec.storage.endpointUrl (or AWS_ENDPOINT_URL_S3)", "", "this is no URL", "write it as https://host:port"
        )
    # boto3 itself reads AWS_DEFAULT_REGION only; pods and other SDKs set AWS_REGION.
    name = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        # A retry that this package does not see would turn one's own success into a 412.
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=_CONNECTIONS,
        s3={"addressing_style": "path"} if endpoint else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    try:
        session = boto3.session.Session(region_name=name)
        region = session.region_name or ("us-east-1" if endpoint else None)
        client = session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
    except ProfileNotFound as error:
        raise StoreDenied(
            "AWS_PROFILE names a profile that the AWS configuration does not have; correct it."
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise StoreDenied(f"The AWS settings of this environment do not work ({type(error).__name__}).") from error
    follow_server_clock(client)
    return client


def shown(endpoint_url: str) -> str:
    """The endpoint for messages, without a password that it may hold."""
    parts = urlsplit(endpoint_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
