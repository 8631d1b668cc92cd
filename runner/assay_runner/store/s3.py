"""Objects in an S3-compatible bucket, with answers that can be believed.

Every request is tried by this module alone, so that it knows when a write may have taken effect although no answer
came. Passing faults (5xx, throttling, timeouts, broken connections, truncated answers) are retried with full jitter
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015); clocks, ETags and listings decide nothing.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.keys import below, check_folder, check_key
from assay_runner.store.s3_client import shown
from assay_runner.store.s3_faults import REQUEST_ERRORS, Fault, Kind, understand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
Faults = list[Fault]

TRIES = 8
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_PIECE = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing, as the server describes it."""

    key: str
    size: int
    etag: str


class S3Store:
    """The part of `bucket` below `prefix`. The client is used by many threads at once, as boto3's clients may be.

    Args:
        prefix: without slashes at its ends; "" is the whole bucket.
        tries: requests per operation, the first included.
        pause: sleeps for so many seconds.
        jitter: a number in [0, 1) at random.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        client: S3Client,
        *,
        tries: int = TRIES,
        pause: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bucket, self._client = bucket, client
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._tries, self._pause, self._jitter = tries, pause, jitter

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, without a slash at the end."""
        return f"s3://{self._bucket}/{self._prefix}".removesuffix("/")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object with `If-None-Match: *`.

        A 412 that follows a try without an answer may be that try's own success: the object is read back, and equal
        bytes count as created by this call. Callers that must tell themselves from others put something random in.
        """
        name = self._name(key)
        faults: Faults = []

        def create() -> None:
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")

        try:
            self._insist(create, f"{self.location(key)} could not be written", faults)
        except _AlreadyThere:
            return self._is_mine(key, data) if any(fault.doubtful for fault in faults) else False
        return True

    def put(self, key: str, data: bytes) -> None:
        """Write the object in one request."""
        name = self._name(key)
        self._insist(
            lambda: self._client.put_object(Bucket=self._bucket, Key=name, Body=data),
            f"{self.location(key)} could not be written",
        )

    def get(self, key: str) -> bytes:
        """The object's bytes, all of them or none."""
        name = self._name(key)

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
            return data

        try:
            return self._insist(read, f"{self.location(key)} could not be read")
        except _NotThere as error:
            raise NotFoundInStore(self.location(key)) from error

    def delete(self, key: str) -> None:
        """Remove the object by a request of its own: not every server knows the one for many objects."""
        name = self._name(key)
        with suppress(_NotThere):
            self._insist(
                lambda: self._client.delete_object(Bucket=self._bucket, Key=name),
                f"{self.location(key)} could not be deleted",
            )

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Keys in the order of the server, which S3 promises to be that of their bytes; asked for page by page."""
        start = self._prefix + check_folder(prefix)
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": start} | ({} if recursive else {"Delimiter": "/"})
        pages = self._pages(request, f"{below(self.uri, prefix)} could not be listed")
        return (found.key for found in pages)

    def entries(self) -> Iterator[Entry]:
        """Everything that lies here, with sizes, in the order of the server."""
        return self._pages({"Bucket": self._bucket, "Prefix": self._prefix}, f"{self.uri} could not be listed")

    def download(self, entry: Entry, path: Path) -> None:
        """Write the object's bytes to the file, synced. For objects that memory should not hold; an answer that breaks
        off is gone on with where it broke off.

        Raises:
            StoreUnavailable: what came is not as long as the listing said.
            StoreDenied: the server refused, or the object is no longer that of the listing.
        """
        where, name = below(self.uri, entry.key), self._prefix + entry.key
        asked: dict[str, Any] = {"Bucket": self._bucket, "Key": name} | ({"IfMatch": entry.etag} if entry.etag else {})
        with path.open("wb") as file:

            def read_on() -> None:
                start = file.tell()
                if start and start == entry.size:
                    return
                rest: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
                answer = self._client.get_object(**asked, **rest)
                if start and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                    file.seek(0)
                    file.truncate()
                with closing(answer["Body"]) as body:
                    while piece := body.read(_PIECE):
                        _write(file, piece)

            try:
                self._insist(read_on, f"{where} could not be read")
            except _AlreadyThere as error:
                raise StoreDenied(f"{where} was replaced while it was read; start again.") from error
            except _NotWritten as error:
                raise error.reason from error
            if file.tell() != entry.size:
                raise StoreUnavailable(f"{where} is not as long as the server said.")
            file.flush()
            os.fsync(file.fileno())

    def location(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return below(self.uri, check_key(key))

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _pages(self, request: dict[str, Any], failure: str) -> Iterator[Entry]:
        token: str | None = None
        while True:
            asked = request | ({"ContinuationToken": token} if token else {})
            page = self._insist(partial(self._client.list_objects_v2, **asked), failure)
            for found in page.get("Contents", []):
                # Consoles create empty objects that end in "/" to show a folder.
                if not found["Key"].endswith("/"):
                    yield Entry(
                        found["Key"].removeprefix(self._prefix), int(found.get("Size", 0)), found.get("ETag", "")
                    )
            if not page.get("IsTruncated"):
                return
            before, token = token, page.get("NextContinuationToken")
            if not token or token == before:
                raise StoreUnavailable(f"{failure} completely: the server says that there is more, but not where.")

    def _is_mine(self, key: str, data: bytes) -> bool:
        """Whether the object that is said to exist is the one that an unanswered try of ours created."""
        try:
            return self.get(key) == data
        except NotFoundInStore as error:
            raise StoreUnavailable(
                f"{self.location(key)} could not be written: the server says both that it exists and that it does not."
            ) from error

    def _insist(self, request: Callable[[], T], failure: str, faults: Faults | None = None) -> T:
        """Make the request until it has an answer; `faults` receives what passed meanwhile.

        Raises:
            StoreDenied: the server refused; `_AlreadyThere` and `_NotThere` say what it said of the object.
            StoreUnavailable: no answer within the bounded number of tries.
        """
        failure += f" at {shown(self._client.meta.endpoint_url)}"
        clause = ""
        for number in range(self._tries):
            if number:
                self._pause(self._jitter() * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (number - 1)))
            try:
                return request()
            except REQUEST_ERRORS as error:
                fault = understand(error)
                if fault.kind is not Kind.PASSING:
                    raise _LAST_WORDS[fault.kind](f"{failure}: {fault.clause}.") from error
            clause = fault.clause
            if faults is not None:
                faults.append(fault)
        raise StoreUnavailable(f"{failure}: {clause} ({self._tries} tries).")


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise _NotWritten(error) from error


class _NotWritten(Exception):
    """A fault of this machine's disk, which must not be taken for one of the connection."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _AlreadyThere(StoreDenied):
    """The condition of a conditional write did not hold."""


class _NotThere(StoreDenied):
    """The server knows no such object."""


_LAST_WORDS = {Kind.EXISTS: _AlreadyThere, Kind.MISSING: _NotThere, Kind.DENIED: StoreDenied}
