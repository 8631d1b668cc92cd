"""One connection to an HTTP/1.1 server, for one exchange at a time.

The parser is httptools (llhttp, as in Node.js), transport and TLS are the event loop's; what is written here is the
request's few lines and what the end of a connection means. A general HTTP client would cost several times as much for
each request as reading, asking and scoring a document together (`make bench` shows it)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import httptools

LARGEST_HEAD = 64 * 2**10
"""Bytes of a response's head that are read at most."""


class ExchangeError(Exception):
    """The connection was lost or the answer is no HTTP; `kind` is Connection, Timeout or BadResponse."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    retry_after: str | None
    first_token: float | None = None
    """Seconds from sending until what was watched for had come; None when it did not, or nothing was."""


Watch = Callable[[bytes], bool]
"""Is given a body piece by piece until it has found what it looks for."""


class Connection(asyncio.Protocol):
    """As a loop's `create_connection` makes it; `largest` is the most bytes of a body."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Reply] | None = None
        self._reusable = False
        self._retry_after: str | None = None
        self._watch: Watch | None = None
        self._first_token: float | None = None
        self._sent = 0.0
        self._begin()

    @property
    def open(self) -> bool:
        """Whether another exchange may be tried on it."""
        return self._reusable and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, seconds: float, watch: Watch | None = None) -> Reply:
        """Send `request` and read the whole answer, watched as it comes.

        Raises:
            ExchangeError: the connection was lost, time ran out, or the answer is too large or no HTTP.
        """
        assert self._transport is not None and self._answer is None
        loop = asyncio.get_running_loop()
        self._begin()
        self._watch, self._sent = watch, loop.time()
        self._answer = loop.create_future()
        timer = loop.call_later(seconds, self._fail, "Timeout", f"no complete answer within {seconds:g} s")
        try:
            self._transport.write(request)
            return await self._answer
        except asyncio.CancelledError:
            self._reusable = False  # the answer that nobody waits for may still come
            raise
        finally:
            timer.cancel()
            self._answer = None
            if not self._reusable:
                self.close()

    def close(self) -> None:
        """Close it at once; safe to call twice."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the loop says."""
        self._transport, self._reusable = cast(asyncio.Transport, transport), True

    def data_received(self, data: bytes) -> None:
        """As the loop says."""
        if self._answer is None or self._answer.done():
            # Nothing was asked: a server's last words before it closes, or worse.
            self.close()
            return
        self._head += 0 if self._headed else len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("BadResponse", f"the answer is broken ({error})")
        if not self._headed and self._head > LARGEST_HEAD:
            self._fail("BadResponse", "the head of the answer has no end")

    def connection_lost(self, exc: Exception | None) -> None:
        """As the loop says."""
        self._reusable = False
        if exc is None and self._headed and self._ends_with_connection:
            self._complete()
        elif self._headed:
            self._fail("BadResponse", "the answer is broken (it ends in the middle)")
        else:
            reason = type(exc).__name__ if exc is not None else "closed by the server"
            self._fail("Connection", f"the connection was lost ({reason})")

    def on_message_begin(self) -> None:
        """As the parser says."""
        if self._answer is None or self._answer.done():
            self._reusable = False  # a second answer, to nothing that was asked

    def on_header(self, name: bytes, value: bytes) -> None:
        """As the parser says."""
        match name.lower():
            case b"retry-after":
                self._retry_after = value.decode("latin-1")
            case b"content-length" | b"transfer-encoding":
                self._ends_with_connection = False
            case b"content-encoding" if value.lower() != b"identity":
                self._fail("BadResponse", "the answer is compressed, which was not asked for")

    def on_headers_complete(self) -> None:
        """As the parser says."""
        self._status = self._parser.get_status_code()
        self._headed = self._status >= 200

    def on_body(self, body: bytes) -> None:
        """As the parser says."""
        self._pieces.append(body)
        self._size += len(body)
        if self._watch is not None and self._watch(body):
            self._watch = None
            self._first_token = asyncio.get_running_loop().time() - self._sent
        if self._size > self._largest:
            self._fail("BadResponse", f"the body is larger than {self._largest >> 20} MiB")

    def on_message_complete(self) -> None:
        """As the parser says."""
        if not self._headed:
            return  # 100 Continue and the like come before the answer
        transport = self._transport
        # What answers before it has read everything may not read the rest.
        unread = transport is None or transport.get_write_buffer_size() > 0
        self._reusable = self._reusable and self._parser.should_keep_alive() and not unread
        self._complete()

    def _begin(self) -> None:
        self._pieces: list[bytes] = []
        self._size = self._head = self._status = 0
        self._headed = False
        self._ends_with_connection = True
        self._retry_after = None
        self._watch = None
        self._first_token = None

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(self._status, b"".join(self._pieces), self._retry_after, self._first_token))

    def _fail(self, kind: str, message: str) -> None:
        self._reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ExchangeError(kind, message))
