"""Large objects go up in parts: no request carries more than a part, and memory holds a few of them.

Each upload carries a random token in the object's metadata. When the answer to its completion is lost, the token tells
whether the object that lies there now is this upload's. What fails is aborted, so that no parts are left to be paid for.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from assay_api.errors import Failed
from assay_runner.store.base import StoreDenied, StoreUnavailable
from assay_runner.store.s3_tries import AlreadyThere, Faults, NotThere, Tries, Unsupported

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WHOLE = 64 << 20
"""Bytes up to which an object goes up in one request."""
_PART = 16 << 20
_MOST_PARTS = 10_000
_AT_ONCE = 4
_STARTS = 3
_MARK = "assay-upload"


@dataclass(frozen=True, slots=True)
class Content:
    """What an object is to hold."""

    size: int
    open: Callable[[], BinaryIO]
    """A reader of its own for every request: one that was given up may still read."""

    @staticmethod
    def of(data: bytes) -> Content:
        """Bytes in memory."""
        return Content(len(data), lambda: BytesIO(data))

    @staticmethod
    def of_file(path: Path) -> Content:
        """The bytes of a file.

        Raises:
            StoreDenied: it cannot be read.
        """

        def reader() -> BinaryIO:
            try:
                return path.open("rb")
            except OSError as error:
                raise _unreadable(path, error) from error

        with reader() as file:
            return Content(os.fstat(file.fileno()).st_size, reader)

    def part(self, start: int, size: int) -> bytes:
        """So many bytes from `start`.

        Raises:
            StoreDenied: they cannot be read.
        """
        with self.open() as reader:
            try:
                reader.seek(start)
                data = reader.read(size)
            except OSError as error:
                raise _unreadable(reader.name, error) from error
            if len(data) != size:
                raise StoreDenied(f"{reader.name} became shorter while it was written to the store; start again.")
        return data


def _unreadable(path: Path | str, error: OSError) -> StoreDenied:
    return StoreDenied(f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}.")


class Uploads:
    """Uploads in parts to one bucket."""

    def __init__(self, client: S3Client, bucket: str, tries: Tries) -> None:
        self._client, self._bucket, self._tries = client, bucket, tries

    def write(self, name: str, content: Content, failure: str, *, absent: bool) -> bool:
        """Upload the object; False, and nothing written, when it was to be `absent` and is not.

        Raises:
            Unsupported: the server has no uploads in parts.
            StoreUnavailable: the outcome is unknown.
            StoreDenied: the server refused.
        """
        for _ in range(_STARTS):
            upload = _Upload(self._client, self._tries, self._bucket, name, content, failure)
            upload.begin()
            try:
                created = upload.complete(upload.send(), absent=absent)
            except NotThere:
                # Either a completion whose answer was lost has taken effect, or somebody aborted the upload.
                if upload.took_effect():
                    return True
                continue
            except BaseException:
                upload.abort()
                raise
            if not created:
                upload.abort()
            return created
        raise StoreUnavailable(f"{failure}: its uploads vanished, {_STARTS} times; run the same command again.")

    def abort_all(self, prefix: str, failure: str) -> None:
        """Abort uploads below the prefix that were left behind."""
        places: dict[str, Any] = {}
        for _ in range(_MOST_PARTS):
            look = partial(self._client.list_multipart_uploads, Bucket=self._bucket, Prefix=prefix, **places)
            page = self._tries.insist(partial(self._tries.within, 0, look), failure)
            for found in page.get("Uploads", []):
                self._abort(found["Key"], found["UploadId"], failure)
            if not page.get("IsTruncated"):
                return
            places = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _abort(self, name: str, upload: str, failure: str) -> None:
        end = partial(self._client.abort_multipart_upload, Bucket=self._bucket, Key=name, UploadId=upload)
        with suppress(NotThere):
            self._tries.insist(partial(self._tries.within, 0, end), failure)


class _Upload:
    """One upload, from its beginning to its completion or abortion."""

    def __init__(self, client: S3Client, tries: Tries, bucket: str, name: str, content: Content, failure: str) -> None:
        self._client, self._tries, self._content, self._failure = client, tries, content, failure
        self._object: dict[str, Any] = {"Bucket": bucket, "Key": name}
        self._token, self._upload = secrets.token_hex(16), ""
        self._faults: Faults = []

    def begin(self) -> None:
        request: dict[str, Any] = self._object | {"Metadata": {_MARK: self._token}}
        self._upload = self._insist(0, lambda: self._client.create_multipart_upload(**request))["UploadId"]

    def send(self) -> list[dict[str, Any]]:
        size = max(_PART, -(-self._content.size // _MOST_PARTS))
        starts = range(0, self._content.size, size)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tags = pool.map(lambda start: self._send(start // size + 1, start, size), starts)
            return [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]

    def _send(self, number: int, start: int, size: int) -> str:
        part = Content.of(self._content.part(start, min(size, self._content.size - start)))

        def send() -> str:
            with part.open() as body:
                answer = self._client.upload_part(**self._object, UploadId=self._upload, PartNumber=number, Body=body)
            return answer["ETag"]

        tag: str = self._insist(part.size, send)
        return tag

    def complete(self, parts: list[dict[str, Any]], *, absent: bool) -> bool:
        request: dict[str, Any] = self._object | {"UploadId": self._upload, "MultipartUpload": {"Parts": parts}}

        def complete(**condition: Any) -> object:
            # A server may take its time to put the parts together.
            call = lambda: self._client.complete_multipart_upload(**request, **condition)  # noqa: E731
            return self._insist(self._content.size, call, conditional=absent)

        try:
            complete(**({"IfNoneMatch": "*"} if absent else {}))
        except Unsupported:
            if not absent:
                raise
            # This server knows the condition for whole objects only; whoever creates so large a one has looked before.
            complete()
        except AlreadyThere:
            return self.took_effect()
        return True

    def took_effect(self) -> bool:
        """Whether the object that is there is this upload's."""
        try:
            found = self._insist(0, lambda: self._client.head_object(**self._object))
        except NotThere:
            return False
        return bool(found.get("Metadata", {}).get(_MARK) == self._token)

    def abort(self) -> None:
        # The fault that led here is the one to tell.
        with suppress(Failed):
            self._insist(0, lambda: self._client.abort_multipart_upload(**self._object, UploadId=self._upload))

    def _insist(self, size: int, call: Callable[[], Any], *, conditional: bool = False) -> Any:
        return self._tries.insist(lambda: self._tries.within(size, call), self._failure, conditional=conditional)
