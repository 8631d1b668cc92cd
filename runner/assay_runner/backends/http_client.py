"""One HTTP exchange with an OpenAI-compatible server: bounded in time and size, no redirects, the key in one header
only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from assay_api.errors import SpecError
from assay_runner.backends.arguments import MANIFEST

if TYPE_CHECKING:
    import aiohttp

LARGEST_BODY = 64 * 2**20
"""Bytes of a response body that are read at most."""
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 4.0
"""Shorter than the five seconds after which uvicorn closes idle connections, so that none is reused while it closes."""
_PIECE = 2**16


class UnreachableError(Exception):
    """No connection could be made; nothing was sent."""


class UntrustedError(Exception):
    """The server's TLS certificate was refused."""


class ExchangeError(Exception):
    """The connection was lost or the answer is no HTTP; `kind` is Connection, Timeout or BadResponse."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    retry_after: str | None


class HttpClient:
    """A session with one server; connections are kept and reused."""

    def __init__(self, url: str, api_key: str | None, timeout: float) -> None:
        """`url` is the base up to and including the version, `timeout` the limit of one exchange in seconds.

        Raises:
            SpecError: the URL holds credentials or is none, or the key cannot stand in a header.
        """
        self._base, self.shown = _checked(url)
        self._key = _header_safe(api_key)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    @property
    def secret(self) -> str | None:
        """The key, for blanking it out of what the server says."""
        return self._key

    def open(self) -> None:
        """Make the session; inside the event loop that will use it."""
        import aiohttp

        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(_CONNECT_SECONDS, self._timeout)),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def exchange(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request and read its whole answer, whatever its status.

        Raises:
            UnreachableError: no connection.
            UntrustedError: the certificate was refused.
            ExchangeError: the connection was lost, time ran out, or the answer is too large or no HTTP.
        """
        import aiohttp

        assert self._session is not None, "open() comes first"
        try:
            async with self._session.request(
                method, f"{self._base}/{path}", data=body, allow_redirects=False
            ) as response:
                data = await _read(response)
                return Reply(response.status, data, response.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise UntrustedError(str(error)) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnreachableError(str(error)) from error
        except TimeoutError as error:
            raise ExchangeError("Timeout", f"no complete answer within {self._timeout:g} s") from error
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            raise ExchangeError("BadResponse", f"the answer is broken ({type(error).__name__})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExchangeError("Connection", f"the connection was lost ({type(error).__name__})") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        data += piece
        if len(data) > LARGEST_BODY:
            response.close()
            raise ExchangeError("BadResponse", f"the body is larger than {LARGEST_BODY >> 20} MiB")
    return bytes(data)


def _checked(url: str) -> tuple[str, str]:
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
    base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return base, base


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
