"""Media that a row names by an address: `https://`, `http://` or `s3://`, fetched once, where the run is planned.

What an address gives today it may not give tomorrow, so its bytes are staged with the documents; workers read those and
need no network. A server that is away is waited for; only what it says for sure (that there is no such thing) is an error
of the medium.
"""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from assay_api.errors import Failed
from assay_runner.media import Media, MediaError, from_bytes, from_place

if TYPE_CHECKING:
    from assay_runner.store.base import Store

T = TypeVar("T")
U = TypeVar("U")
Fetch = Callable[[str], bytes]
"""The bytes at an address. Raises MediaError when there are none, Failed when the server is away."""

SCHEMES = ("https://", "http://", "s3://")
LARGEST = 2 << 30
"""Bytes of a fetched medium at most."""
_TRIES, _SECONDS, _PIECE = 5, 60.0, 1 << 20
_HELD = 1 << 20
"""A larger one waits in a temporary file until it is staged."""
AT_ONCE = 16
_BUCKETS = Lock()
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PREFIX = re.compile(r"(https?|s3)://[^/\s{}]+/[^\s{}]*")


class Fetched:
    """Fetched bytes in a temporary file, which is gone when nobody holds this any more."""

    def __init__(self, address: str, data: bytes) -> None:
        self._address = address
        self._file: IO[bytes] = tempfile.NamedTemporaryFile(prefix="assay-medium-")  # noqa: SIM115 - lives as long as this
        self._file.write(data)
        self._file.flush()

    def read(self) -> bytes:
        """The bytes.

        Raises:
            MediaError: the file is gone.
        """
        try:
            return Path(self._file.name).read_bytes()
        except OSError as error:
            raise MediaError(f"{self} cannot be read: {error.strerror}") from error

    def __str__(self) -> str:
        return self._address


def is_address(name: str) -> bool:
    """Whether a name is an address and no path."""
    return name.startswith(SCHEMES)


def is_prefix(text: str) -> bool:
    """Whether `text` can be what addresses must begin with: a scheme, a whole host (or bucket), and a path or `/`."""
    return bool(_PREFIX.fullmatch(text))


def allowed(address: str, prefixes: Iterable[str]) -> bool:
    """Whether an address lies below one of `prefixes`, however it is spelt."""
    steps = unquote(urlsplit(address).path).replace("\\", "/").split("/")
    return ".." not in steps and any(address.startswith(prefix) for prefix in prefixes)


def shown(address: str) -> str:
    """An address without user and query, which may hold a key."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def remote(address: str, fetch: Fetch) -> Media:
    """The medium at an address.

    Raises:
        MediaError: there is none, or it is of no known format.
        Failed: its server is away.
    """
    data = fetch(address)
    return from_bytes(data, name=shown(address)) if len(data) <= _HELD else from_place(Fetched(shown(address), data))


def from_data_uri(text: str) -> Media:
    """The medium that a `data:` URI (RFC 2397) holds.

    Raises:
        MediaError: it is malformed or of no known format.
    """
    head, comma, body = text.partition(",")
    if not comma:
        raise MediaError("a data URI has no comma")
    try:
        plain = unquote_to_bytes(body)
        data = base64.b64decode(plain, validate=True) if head.endswith(";base64") else plain
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"a data URI cannot be decoded ({error})") from error
    return from_bytes(data, name="the content of a data URI")


def fetched(address: str) -> bytes:
    """The bytes at an address; up to six tries, redirects among them.

    Raises:
        MediaError: there is nothing, or too much.
        Failed: the server or the store is away.
    """
    return _from_s3(address) if address.startswith("s3://") else _from_http(address)


def ahead(function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
    """`map`, with up to 16 calls under way in threads, in order: for calls that wait for servers."""
    values = iter(values)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
        waiting: deque[Future[U]] = deque(pool.submit(function, value) for value in islice(values, AT_ONCE))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, value) for value in islice(values, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _from_http(address: str) -> bytes:
    import urllib3

    try:
        with _http().request("GET", address, preload_content=False) as reply:
            if reply.status in _PASSING:
                raise Failed(f"{shown(address)} cannot be fetched (HTTP {reply.status}); plan again when it is well.")
            if reply.status != 200:
                raise MediaError(f"{shown(address)} cannot be fetched (HTTP {reply.status})")
            return _bounded(address, reply.stream(_PIECE))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise Failed(f"{shown(address)} cannot be fetched ({_clause(reason)}); plan again when it can.") from error


def _bounded(address: str, pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > LARGEST:
            raise MediaError(f"{shown(address)} has more than {LARGEST:,} bytes")
    return bytes(data)


@cache
def _http() -> Any:
    import urllib3

    retry = urllib3.Retry(
        total=_TRIES, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=_PASSING, raise_on_status=False
    )
    return urllib3.PoolManager(
        maxsize=AT_ONCE,
        retries=retry,
        timeout=urllib3.Timeout(connect=15, read=_SECONDS),
        headers={"User-Agent": "assay"},
    )


def _from_s3(address: str) -> bytes:
    from assay_runner.store.base import NotFoundInStore

    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        with _BUCKETS:  # boto3's clients may be shared between threads, but not made in two at once
            store = _bucket(bucket)
        data = store.get(key)
    except NotFoundInStore as error:
        raise MediaError(f"{address} is not there") from error
    if len(data) > LARGEST:
        raise MediaError(f"{address} has more than {LARGEST:,} bytes")
    return data


@cache
def _bucket(name: str) -> Store:
    from assay_runner.store.open import open_store

    return open_store(f"s3://{name}", None)


def _clause(reason: object) -> str:
    return str(reason).rpartition(": ")[2] or type(reason).__name__
