"""From the address that a person wrote to a store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from assay_api.errors import SpecError
from assay_runner.store.base import Store, StoreDenied
from assay_runner.store.file import FileStore
from assay_runner.store.keys import check_key

if TYPE_CHECKING:
    from assay_api.evaljob import Storage

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://|^(file|s3):")
_BUCKET = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$")
_KINDS = "use s3://bucket/prefix, file:///folder or a folder"


def open_store(uri: str, settings: Storage | None) -> Store:
    """The store at `uri`: `s3://bucket/prefix`, `file:///folder`, or a path, whose characters are taken as they are.

    Nothing is asked of the server yet. Endpoint and region come from `settings`, else from the environment, where
    boto3 finds the credentials too.

    Raises:
        SpecError: `uri` is none of these.
        StoreDenied: boto3's configuration is not usable.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        if not uri:
            raise SpecError("The storage URI", "", "it is empty", _KINDS)
        return FileStore(Path(uri).expanduser())
    if uri.startswith("file:///"):
        return FileStore(Path(uri.removeprefix("file://")))
    if uri.startswith("file:"):
        raise SpecError(uri, "", "a folder's URI has three slashes", "write file:///folder")
    if uri.startswith("s3://"):
        return _open_s3(uri, settings)
    raise SpecError(uri, "", f"storage of the kind {scheme[0]!r} is not known", _KINDS)


def _open_s3(uri: str, settings: Storage | None) -> Store:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.match(bucket):
        raise SpecError(uri, "", f"{bucket!r} is no name of a bucket", "write s3://bucket/prefix")
    try:
        check_key(prefix or "-")
    except StoreDenied as error:
        raise SpecError(uri, "", str(error).rstrip("."), "write s3://bucket/prefix") from error
    # boto3 takes a third of a second to import, which runs in a folder need not spend.
    from assay_runner.store.s3 import S3Store
    from assay_runner.store.s3_client import make_client

    client = make_client(settings.endpoint_url if settings else None, settings.region if settings else None, os.environ)
    return S3Store(bucket, prefix, client)
