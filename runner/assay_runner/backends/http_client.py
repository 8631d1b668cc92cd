"""Exchanges with one OpenAI-compatible server: bounded in time and size, no redirects, connections kept and reused, the
key in one header only."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from urllib.parse import urlsplit, urlunsplit

from assay_api.errors import SpecError
from assay_runner import __version__
from assay_runner.backends.arguments import MANIFEST
from assay_runner.backends.http_connection import Connection, ExchangeError, Reply, Watch
from assay_runner.certificates import refused_because

__all__ = ["ExchangeError", "HttpClient", "Reply", "UnreachableError", "UntrustedError"]

LARGEST_BODY = 64 * 2**20
"""Bytes of a response body that are read at most."""
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 4.0
"""Shorter than the five seconds after which uvicorn closes idle connections, so that none is reused while it closes."""


class UnreachableError(Exception):
    """No connection could be made; nothing was sent."""


class UntrustedError(Exception):
    """The server's TLS certificate was refused, or it speaks no TLS."""


class HttpClient:
    """The connections to one server, in one event loop."""

    def __init__(self, url: str, api_key: str | None, timeout: float) -> None:
        """`url` is the base up to and including the version, `timeout` the limit of one exchange in seconds.

        Raises:
            SpecError: the URL holds credentials or is none, or the key cannot stand in a header.
        """
        self.shown = _checked(url)
        self._key = _header_safe(api_key)
        self._timeout = timeout
        parts = urlsplit(self.shown)
        assert parts.hostname is not None
        self._host, self._path = parts.hostname, parts.path
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._lines = _lines(parts.netloc, self._key)
        self._idle: list[tuple[float, Connection]] = []
        self._connections: set[Connection] = set()

    @property
    def secret(self) -> str | None:
        """The key, for blanking it out of what the server says."""
        return self._key

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._idle.clear()
        await asyncio.sleep(0)

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        seconds: float | None = None,
        watch: Watch | None = None,
    ) -> Reply:
        """Send one request and read its whole answer, whatever its status. `seconds` is a limit below the client's own,
        `watch` is shown the answer as it comes.

        Raises:
            UnreachableError: no connection.
            UntrustedError: the certificate was refused.
            ExchangeError: the connection was lost, time ran out, or the answer is too large or no HTTP.
        """
        limit = self._timeout if seconds is None else min(seconds, self._timeout)
        connection = self._kept() or await self._connect(min(limit, _CONNECT_SECONDS))
        head = f"{method} {self._path}/{path} HTTP/1.1\r\n{self._lines}Content-Length: {len(body or b'')}\r\n\r\n"
        try:
            return await connection.ask(head.encode("latin-1") + (body or b""), limit, watch)
        finally:
            if connection.open:
                self._idle.append((time.monotonic(), connection))
            else:
                self._connections.discard(connection)

    def _kept(self) -> Connection | None:
        """The connection that was used last: so what is not needed any more ages and is closed."""
        while self._idle:
            since, connection = self._idle.pop()
            if connection.open and time.monotonic() - since < _IDLE_SECONDS:
                return connection
            connection.close()
            self._connections.discard(connection)
        return None

    async def _connect(self, seconds: float) -> Connection:
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(LARGEST_BODY), self._host, self._port, ssl=self._tls
                )
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(f"{where}: {refused_because(error.verify_message, 'SSL_CERT_FILE')}") from error
        except ssl.SSLError as error:
            raise UntrustedError(f"{where}: it speaks no TLS that is known here ({error.reason or error})") from error
        except TimeoutError as error:
            raise UnreachableError(f"{where}: no connection within {seconds:g} s") from error
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise UnreachableError(f"{where}: {reason}") from error
        self._connections.add(connection)
        return connection


def _lines(host: str, key: str | None) -> str:
    """The head's lines that all requests share."""
    lines = [f"Host: {host}", f"User-Agent: assay/{__version__}", "Accept: */*", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    return "".join(f"{line}\r\n" for line in lines)


def _checked(url: str) -> str:
    field = "spec.model.endpoint.url"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SpecError(MANIFEST, field, f"it is no URL ({error})", "write it as http://server:8000/v1") from error
    if parts.scheme not in ("http", "https") or not host:
        raise SpecError(MANIFEST, field, "it is no http or https URL", "write it as http://server:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise SpecError(MANIFEST, field, "it holds a user name or password", "remove it and give the key apart")
    if parts.query or parts.fragment:
        raise SpecError(MANIFEST, field, "it holds a query or a fragment", "end it with the version, such as /v1")
    if not all("!" <= character <= "~" for character in url):
        raise SpecError(MANIFEST, field, "it holds spaces or non-ASCII characters", "write them percent-encoded")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _header_safe(api_key: str | None) -> str | None:
    key = (api_key or "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise SpecError(
            MANIFEST,
            "spec.model.endpoint.apiKeySecretRef",
            "the API key holds spaces, control or non-ASCII characters",
            "store the key alone",
        )
    return key or None
