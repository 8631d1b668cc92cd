"""Objects in an S3-compatible bucket, with answers that can be believed.

Every request is tried by this package alone (`s3_tries`), so that it knows when a write may have taken effect although no
answer came. Clocks, ETags and listings decide nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.keys import below, check_folder, check_key
from assay_runner.store.s3_client import shown
from assay_runner.store.s3_faults import TookTooLong
from assay_runner.store.s3_multipart import WHOLE, Content, Uploads
from assay_runner.store.s3_tries import AlreadyThere, Faults, NotThere, Tries, Unsupported

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_PIECE = 8 << 20
_LEFT_BEHIND = 0.1
_CONTRADICTIONS = 5
"""How often a server may say both that an object exists and that it does not."""


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
        tries: how long an operation insists.
    """

    def __init__(self, bucket: str, prefix: str, client: S3Client, *, tries: Tries | None = None) -> None:
        self._bucket, self._client = bucket, client
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._tries = tries or Tries()
        self._uploads = Uploads(client, bucket, self._tries)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`, without a slash at the end."""
        return f"s3://{self._bucket}/{self._prefix}".removesuffix("/")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object with `If-None-Match: *`.

        A 412 that follows a try without an answer may be that try's own success: the object is read back, and equal
        bytes count as created by this call. Any other 412 is believed when the object is there; behind a gateway that sends
        a request twice it may be one's own success all the same, so callers that must tell themselves from others put
        something random in and read it back.
        """
        name, content, failure = self._name(key), Content.of(data), self._failure(key, "written")
        faults: Faults = []
        for number in range(1, _CONTRADICTIONS + 1):
            if self._create(name, content, failure, faults):
                return True
            with suppress(NotFoundInStore):
                if any(fault.doubtful for fault in faults):
                    return self.get(key) == data
                if self._exists(name, failure):
                    return False
            self._tries.pause(self._tries.pause_after(number))
        raise StoreUnavailable(
            f"{failure}: the server says both that it exists and that it does not ({_CONTRADICTIONS} tries); "
            "run the same command again when the server is well."
        )

    def put(self, key: str, data: bytes) -> None:
        """Write the object, in one request unless it is large."""
        self._write(key, Content.of(data))

    def put_file(self, key: str, path: Path) -> None:
        """Write the object, in parts when it is large; memory holds a few of them."""
        self._write(key, Content.of_file(path))

    def get(self, key: str) -> bytes:
        """The object's bytes, all of them or none."""
        name = self._name(key)

        def read() -> bytes:
            answer = self._within(0, partial(self._client.get_object, Bucket=self._bucket, Key=name))
            with self._reading(answer) as body:
                data: bytes = self._within(answer.get("ContentLength") or WHOLE, body.read)
            return data

        try:
            return self._insist(read, self._failure(key, "read"))
        except NotThere as error:
            raise NotFoundInStore(self.location(key)) from error

    def delete(self, key: str) -> None:
        """Remove the object by a request of its own: not every server knows the one for many objects."""
        request = partial(self._client.delete_object, Bucket=self._bucket, Key=self._name(key))
        with suppress(NotThere):
            self._insist(lambda: self._within(0, request), self._failure(key, "deleted"))

    def sweep(self, prefix: str) -> None:
        """Abort uploads that were left behind, where the server lets it: they need other permissions than objects do, and a
        lifecycle rule of the bucket ends them too."""
        with suppress(StoreDenied):
            self._uploads.abort_all(self._prefix + check_folder(prefix), self._listing_failure(prefix))

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Keys in the order of the server, which S3 promises to be that of their bytes; asked for page by page."""
        start = self._prefix + check_folder(prefix)
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": start} | ({} if recursive else {"Delimiter": "/"})
        pages = self._pages(request, self._listing_failure(prefix))
        return (found.key for found in pages)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Everything below `prefix` (a folder, ending in `/`, or ""), with sizes, in the order of the server."""
        request = {"Bucket": self._bucket, "Prefix": self._prefix + check_folder(prefix)}
        return self._pages(request, self._listing_failure(prefix))

    def children(self) -> Iterator[Entry]:
        """What lies directly here: objects, and folders by their names with a `/` behind, without size and ETag."""
        request = {"Bucket": self._bucket, "Prefix": self._prefix, "Delimiter": "/"}
        for page in self._listing(request, self._listing_failure("")):
            for found in page.get("CommonPrefixes", []):
                yield Entry(found["Prefix"].removeprefix(self._prefix), 0, "")
            yield from self._objects(page)

    def exists(self, key: str) -> bool:
        """Whether there is an object, by its head alone."""
        return self._exists(self._name(key), self._failure(key, "looked for"))

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
                answer = self._within(0, partial(self._client.get_object, **asked, **rest))
                if start and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                    file.seek(0)
                    file.truncate()
                with self._reading(answer) as body:
                    while piece := self._within(_PIECE, partial(body.read, _PIECE)):
                        _write(file, piece)

            try:
                self._insist(read_on, f"{where} could not be read{self._at}", conditional=True)
            except AlreadyThere as error:
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
        for page in self._listing(request, failure):
            yield from self._objects(page)

    def _objects(self, page: Any) -> Iterator[Entry]:
        for found in page.get("Contents", []):
            # Consoles create empty objects that end in "/" to show a folder.
            if not found["Key"].endswith("/"):
                yield Entry(found["Key"].removeprefix(self._prefix), int(found.get("Size", 0)), found.get("ETag", ""))

    def _listing(self, request: dict[str, Any], failure: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            asked = request | ({"ContinuationToken": token} if token else {})
            page = self._insist(partial(self._within, 0, partial(self._client.list_objects_v2, **asked)), failure)
            yield page
            if not page.get("IsTruncated"):
                return
            before, token = token, page.get("NextContinuationToken")
            if not token or token == before:
                raise StoreUnavailable(f"{failure} completely: the server says that there is more, but not where.")

    def _write(self, key: str, content: Content) -> None:
        name, failure = self._name(key), self._failure(key, "written")
        if content.size > WHOLE:
            with suppress(Unsupported):
                self._uploads.write(name, content, failure, absent=False)
                return
        self._send(name, content, failure)

    def _create(self, name: str, content: Content, failure: str, faults: Faults) -> bool:
        try:
            if content.size > WHOLE:
                with suppress(Unsupported):
                    return not self._exists(name, failure) and self._uploads.write(name, content, failure, absent=True)
            self._send(name, content, failure, faults, IfNoneMatch="*")
        except AlreadyThere:
            return False
        return True

    def _send(self, name: str, content: Content, failure: str, faults: Faults | None = None, **condition: Any) -> None:
        def send() -> None:
            with content.open() as body:
                self._client.put_object(Bucket=self._bucket, Key=name, Body=body, **condition)

        self._insist(lambda: self._within(content.size, send), failure, conditional=bool(condition), faults=faults)

    def _exists(self, name: str, failure: str) -> bool:
        request = partial(self._client.head_object, Bucket=self._bucket, Key=name)
        try:
            self._insist(lambda: self._within(0, request), failure)
        except NotThere:
            return False
        return True

    def _insist(
        self, request: Callable[[], T], failure: str, *, conditional: bool = False, faults: Faults | None = None
    ) -> T:
        return self._tries.insist(request, failure, conditional=conditional, faults=faults)

    @contextmanager
    def _reading(self, answer: Any) -> Iterator[Any]:
        body = answer["Body"]
        try:
            yield body
        except TookTooLong:
            # The read that was left behind holds the body. It ends with the next silence.
            with suppress(AttributeError):
                body.set_socket_timeout(_LEFT_BEHIND)
            raise
        except BaseException:
            body.close()
            raise
        body.close()

    def _within(self, size: int, call: Callable[[], T]) -> T:
        return self._tries.within(size, call)

    def _failure(self, key: str, action: str) -> str:
        return f"{self.location(key)} could not be {action}{self._at}"

    def _listing_failure(self, prefix: str) -> str:
        return f"{below(self.uri, prefix) if prefix else self.uri} could not be listed{self._at}"

    @property
    def _at(self) -> str:
        return f" at {shown(self._client.meta.endpoint_url)}"


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
