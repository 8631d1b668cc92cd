"""An HTTP server that loses, refuses, cuts and delays answers as told, in front of a small S3 in memory or a real one.

The memory S3 knows what the store uses: PUT with or without `If-None-Match`, GET, DELETE, and paged listing. It can also
get the condition wrong in the ways that real servers do.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support.s3 import S3Server


class Fault(Enum):
    """What goes wrong with one request; those that end in AFTER let it take effect first."""

    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    SILENCE_AFTER = "silence after"
    SLOW_DOWN = "503"
    ERROR_BEFORE = "500 before"
    ERROR_AFTER = "500 after"
    CONFLICT = "409"
    PRECONDITION = "412 before"
    PRECONDITION_AFTER = "412 after"
    """What comes of a proxy between client and server that repeats a request on its own."""
    SLOW_AFTER = "slow answer"
    TRUNCATE_AFTER = "truncated answer"
    GARBAGE_AFTER = "garbage"
    DRIP_AFTER = "dripping headers"
    DRIP_BODY_AFTER = "dripping body"
    SLOW_UPLOAD = "slow upload"


SLOW = frozenset({Fault.SILENCE_AFTER, Fault.SLOW_AFTER, Fault.DRIP_AFTER, Fault.DRIP_BODY_AFTER, Fault.SLOW_UPLOAD})
QUICK = tuple(fault for fault in Fault if fault not in SLOW)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[Request], Fault | Reply | None]


def error(status: int, code: str, message: str = "") -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


@dataclass
class MemoryS3:
    """One bucket; `condition` is how it treats `If-None-Match: *`."""

    condition: Literal["honoured", "ignored", "racy", "refused"] = "honoured"
    page: int = 1000
    objects: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        key = unquote(url.path).partition("/")[2].partition("/")[2]
        if request.method == "PUT":
            return self._put(key, request)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return Reply(204)
        if key:
            data = self.objects.get(key)
            return error(404, "NoSuchKey") if data is None else Reply(200, data)
        return self._list({name: values[0] for name, values in parse_qs(url.query).items()})

    def _put(self, key: str, request: Request) -> Reply:
        if "If-None-Match" not in request.headers or self.condition == "ignored":
            self.objects[key] = request.body
            return Reply(200)
        if self.condition == "refused":
            return error(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
        if self.condition == "racy":
            there = key in self.objects
            time.sleep(0.05)
            if not there:
                self.objects[key] = request.body
            return error(412, "PreconditionFailed") if there else Reply(200)
        with self._lock:
            if key in self.objects:
                return error(412, "PreconditionFailed")
            self.objects[key] = request.body
            return Reply(200)

    def _list(self, query: dict[str, str]) -> Reply:
        prefix, delimiter, after = (query.get(name, "") for name in ("prefix", "delimiter", "continuation-token"))
        inside = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        shown = {
            prefix + (key[: key.index(delimiter) + 1] if delimiter and delimiter in key else key) for key in inside
        }
        found = sorted(key for key in shown if key > after)
        page, more = found[: self.page], len(found) > self.page
        rows = "".join(
            f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
            if key not in self.objects
            else f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        return Reply(200, body.encode(), {"Content-Type": "application/xml"})


class Forward:
    """Sends each request on to a real server, signed anew: so it may have been signed by another clock.

    `condition` is what becomes of `If-None-Match` on the way: "ignored" drops it, "racy" looks and then writes.
    """

    def __init__(self, server: S3Server, condition: Literal["honoured", "ignored", "racy"] = "honoured") -> None:
        self._host, self._condition = urlsplit(server.endpoint).netloc, condition
        self._auth = S3SigV4Auth(
            Credentials(server.env["AWS_ACCESS_KEY_ID"], server.env["AWS_SECRET_ACCESS_KEY"]),
            "s3",
            server.env["AWS_REGION"],
        )
        self._local = threading.local()

    def __call__(self, request: Request) -> Reply:
        headers = {name: value for name, value in request.headers.items() if name.lower() in _PASSED_ON}
        if self._condition != "honoured" and headers.pop("If-None-Match", None) and self._condition == "racy":
            there = self._send(Request("HEAD", request.path, {}, b"")).status == 200
            time.sleep(0.02)
            if there:
                return error(412, "PreconditionFailed")
        return self._send(Request(request.method, request.path, headers, request.body))

    def _send(self, request: Request) -> Reply:
        signed = AWSRequest(request.method, f"http://{self._host}{request.path}", request.headers, request.body)
        self._auth.add_auth(signed)
        connection = self._connection()
        try:
            connection.request(request.method, request.path, request.body, dict(signed.headers.items()))
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() in _PASSED_BACK}
            return Reply(answer.status, answer.read(), kept)
        except BaseException:
            connection.close()
            raise

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._host, timeout=30)
        connection: http.client.HTTPConnection = self._local.connection
        return connection


_PASSED_ON = frozenset({"if-none-match", "if-match", "range", "content-type", "x-amz-meta-assay-upload"})
_PASSED_BACK = frozenset({"content-type", "content-range", "etag", "x-amz-meta-assay-upload"})
_SKEW = timedelta(minutes=15)


def _read(source: BinaryIO, size: int, *, slowly: bool) -> bytes:
    pieces = []
    while size > 0 and (piece := source.read(min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
        if slowly:
            time.sleep(0.05)
    return b"".join(pieces)


class FaultyS3:
    """Serves `upstream` on a port of this machine; `script` says what goes wrong with each request."""

    def __init__(self, upstream: Callable[[Request], Reply], silence: float = 2.0, host: str = "127.0.0.1") -> None:
        self.upstream, self.silence, self._host = upstream, silence, host
        self.script: Script = lambda request: None
        self.requests: list[Request] = []
        self.clock_ahead = timedelta()
        """Of the server's clock before this machine's. Requests that were signed a quarter of an hour off are refused."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_PUT(self) -> None:
                request = Request(self.command, self.path, dict(self.headers.items()), b"")
                fault = outer.script(request)
                size = int(self.headers.get("Content-Length") or 0)
                request = replace(request, body=_read(self.rfile, size, slowly=fault is Fault.SLOW_UPLOAD))
                outer.requests.append(request)
                outer._answer(self, request, outer.refusal(request) or fault)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(outer.now(), usegmt=True)

            def do_GET(self) -> None:
                self.do_PUT()

            def do_DELETE(self) -> None:
                self.do_PUT()

            def do_HEAD(self) -> None:
                self.do_PUT()

            def do_POST(self) -> None:
                self.do_PUT()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{self._host}:{self._server.server_port}"

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def now(self) -> datetime:
        """The server's time."""
        return datetime.now(UTC) + self.clock_ahead

    def refusal(self, request: Request) -> Reply | None:
        """What becomes of a request that was signed at another time."""
        signed = request.headers.get("X-Amz-Date")
        if not signed:
            return None
        off = abs(datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) - self.now())
        return error(403, "RequestTimeTooSkewed", "The time differs too much.") if off > _SKEW else None

    def plan(self, *faults: Fault | Reply | None, method: str | None = None) -> None:
        """The next requests (of this method) go wrong so, one after the other; later ones do not."""
        left = list(faults)
        lock = threading.Lock()

        def script(request: Request) -> Fault | Reply | None:
            if method and request.method != method:
                return None
            with lock:
                return left.pop(0) if left else None

        self.script = script

    def _answer(self, handler: BaseHTTPRequestHandler, request: Request, fault: Fault | Reply | None) -> None:
        handler.close_connection = fault is not None
        if isinstance(fault, Reply):
            return self._send(handler, fault)
        if fault is Fault.DROP_BEFORE:
            return None
        if fault is Fault.SLOW_DOWN:
            return self._send(handler, error(503, "SlowDown", "Please reduce your request rate."))
        if fault is Fault.ERROR_BEFORE:
            return self._send(handler, error(500, "InternalError"))
        if fault is Fault.CONFLICT:
            return self._send(handler, error(409, "ConditionalRequestConflict"))
        if fault is Fault.PRECONDITION:
            return self._send(handler, error(412, "PreconditionFailed"))
        reply = self.upstream(request)
        if fault is Fault.DROP_AFTER:
            return None
        if fault is Fault.SILENCE_AFTER:
            return time.sleep(self.silence)
        if fault is Fault.PRECONDITION_AFTER:
            return self._send(handler, error(412, "PreconditionFailed"))
        if fault is Fault.SLOW_AFTER:
            time.sleep(self.silence / 4)
        if fault in (Fault.DRIP_AFTER, Fault.DRIP_BODY_AFTER):
            return self._drip(handler, reply, fault)
        if fault is Fault.ERROR_AFTER:
            return self._send(handler, error(500, "InternalError"))
        if fault is Fault.GARBAGE_AFTER:
            handler.wfile.write(b"\x00this is not HTTP\r\n\r\n")
            return None
        return self._send(handler, reply, cut=fault is Fault.TRUNCATE_AFTER)

    def _drip(self, handler: BaseHTTPRequestHandler, reply: Reply, fault: Fault) -> None:
        """A byte now and then, so that no read ever times out, for longer than any client should wait."""
        head = f"HTTP/1.1 {reply.status} OK\r\n".encode()
        length = f"Content-Length: {len(reply.body)}\r\n\r\n".encode()
        rest = head + length + reply.body
        with suppress(OSError):
            if fault is Fault.DRIP_BODY_AFTER:
                handler.wfile.write(head + length)
                rest = reply.body
            for place in range(50):
                handler.wfile.write(rest[place : place + 1])
                time.sleep(0.1)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, *, cut: bool = False) -> None:
        with suppress(ConnectionError):
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                if name == "Date":
                    handler._headers_buffer = [line for line in handler._headers_buffer if b"Date:" not in line]
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(reply.body) + (1 if cut and not reply.body else 0)))
            if handler.close_connection:
                handler.send_header("Connection", "close")
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
