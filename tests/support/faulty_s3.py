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
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Fault(Enum):
    """What goes wrong with one request; those that end in AFTER let it take effect first."""

    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    SILENCE_AFTER = "silence after"
    SLOW_DOWN = "503"
    ERROR_BEFORE = "500 before"
    ERROR_AFTER = "500 after"
    CONFLICT = "409"
    TRUNCATE_AFTER = "truncated answer"
    GARBAGE_AFTER = "garbage"


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
        found = [
            key
            for key in sorted(self.objects)
            if key.startswith(prefix) and key > after and not (delimiter and delimiter in key.removeprefix(prefix))
        ]
        page, more = found[: self.page], len(found) > self.page
        rows = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        return Reply(200, body.encode(), {"Content-Type": "application/xml"})


@dataclass(frozen=True)
class Forward:
    """Sends each request on to a real server. Host and signature stay as the client made them."""

    endpoint: str

    def __call__(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name in ("Content-Type", "ETag")}
            return Reply(answer.status, answer.read(), kept)
        finally:
            connection.close()


class FaultyS3:
    """Serves `upstream` on a port of this machine; `script` says what goes wrong with each request."""

    def __init__(self, upstream: Callable[[Request], Reply], silence: float = 2.0) -> None:
        self.upstream, self.silence = upstream, silence
        self.script: Script = lambda request: None
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, dict(self.headers.items()), body)
                outer.requests.append(request)
                outer._answer(self, request, outer.script(request))

            def do_GET(self) -> None:
                self.do_PUT()

            def do_DELETE(self) -> None:
                self.do_PUT()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

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
        reply = self.upstream(request)
        if fault is Fault.DROP_AFTER:
            return None
        if fault is Fault.SILENCE_AFTER:
            return time.sleep(self.silence)
        if fault is Fault.ERROR_AFTER:
            return self._send(handler, error(500, "InternalError"))
        if fault is Fault.GARBAGE_AFTER:
            handler.wfile.write(b"\x00this is not HTTP\r\n\r\n")
            return None
        return self._send(handler, reply, cut=fault is Fault.TRUNCATE_AFTER)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, *, cut: bool = False) -> None:
        with suppress(ConnectionError):
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(reply.body) + (1 if cut and not reply.body else 0)))
            handler.end_headers()
            handler.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
