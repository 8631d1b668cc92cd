"""Exchanges with servers that say one thing or another, byte by byte, over real connections."""

import asyncio
import datetime
import ssl
from collections.abc import Awaitable, Callable

import pytest

from assay_api.errors import SpecError
from assay_runner.backends.http_client import ExchangeError, HttpClient, Reply, UnreachableError, UntrustedError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


class Server:
    """Answers every request of a connection with the next of `replies`; None closes it."""

    def __init__(self, *replies: bytes | None, pause: float = 0.0, cut: int | None = None) -> None:
        self.replies, self.pause, self.cut = list(replies), pause, cut
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.replies:
                self.requests.append(await _request(reader))
                reply = self.replies.pop(0)
                if reply is None:
                    break
                for start in range(0, len(reply), self.cut or len(reply)):
                    writer.write(reply[start : start + (self.cut or len(reply))])
                    await writer.drain()
                    await asyncio.sleep(self.pause)
                if b"Connection: close" in reply or (b"Content-Length" not in reply and b"chunked" not in reply):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def exchange(
    server: Serve, *bodies: bytes, timeout: float = 5.0, key: str | None = None, path: str = ""
) -> list[Reply]:
    async def scenario() -> list[Reply]:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = HttpClient(f"http://127.0.0.1:{port}{path}", key, timeout)
        try:
            return [await client.exchange("POST", "chat/completions", body) for body in bodies or (b"{}",)]
        finally:
            await client.close()
            listening.close()

    return asyncio.run(scenario())


def test_a_request_is_written_as_the_standard_says() -> None:
    server = Server(OK)
    exchange(server, "{ä}".encode(), key="sk-1", path="/v1")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert lines[1].startswith(b"Host: 127.0.0.1:")
    assert {b"Content-Type: application/json", b"Authorization: Bearer sk-1", b"Content-Length: 4"} <= set(lines)
    assert body == "{ä}".encode()


def test_one_connection_serves_many_exchanges_and_one_that_ends_is_replaced() -> None:
    closing = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    server = Server(OK, OK, closing, OK)
    assert [reply.body for reply in exchange(server, *[b"{}"] * 4)] == [b"hi"] * 4
    assert server.connections == 2


@pytest.mark.parametrize("cut", [1, 7, None])
@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_an_answer_is_read_however_it_is_framed_and_cut(reply: bytes, body: bytes, cut: int | None) -> None:
    (found,) = exchange(Server(reply, cut=cut))
    assert (found.status, found.body) == (200, body)


def test_the_status_and_retry_after_are_told() -> None:
    (found,) = exchange(Server(b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\nContent-Length: 1\r\n\r\nx"))
    assert found == Reply(429, b"x", "3")


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (None, "Connection", "closed by the server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhi", "BadResponse", "in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nab", "BadResponse", "middle"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "BadResponse", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "BadResponse", "broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "BadResponse", "broken"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
            "BadResponse",
            "compressed",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "BadResponse", "no end"),
    ],
)
def test_what_is_no_answer_is_told(reply: bytes | None, kind: str, words: str) -> None:
    with pytest.raises(ExchangeError, match=words) as error:
        exchange(Server(reply))
    assert error.value.kind == kind


def test_an_answer_that_does_not_end_in_time_is_given_up() -> None:
    with pytest.raises(ExchangeError, match=r"within 0.2 s") as error:
        exchange(Server(OK, cut=1, pause=0.05), timeout=0.2)
    assert error.value.kind == "Timeout"


def test_a_second_answer_to_one_question_is_never_taken_for_that_to_the_next() -> None:
    server = Server(OK + OK.replace(b"hi", b"no"), OK)
    assert [reply.body for reply in exchange(server, b"{}", b"{}")] == [b"hi", b"hi"]
    assert server.connections == 2


def test_an_answer_before_the_question_was_read_is_an_answer_and_the_connection_is_not_used_again() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.sleep(0.5)
        writer.close()

    (found,) = exchange(early, b"x" * 50_000_000)
    assert (found.status, found.body) == (413, b"big")


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    async def scenario() -> None:
        listening = await asyncio.start_server(Server(), "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        listening.close()
        await listening.wait_closed()
        await HttpClient(f"http://127.0.0.1:{port}/v1", None, 5).exchange("GET", "models")

    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:\d+: Connection refused"):
        asyncio.run(scenario())


def test_a_given_up_exchange_leaves_no_connection_behind() -> None:
    async def scenario() -> tuple[bytes, int]:
        server = Server(OK, OK, cut=1, pause=0.05)
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", None, 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.exchange("POST", "x", b"{}"), 0.1)
        server.cut = None
        reply = await client.exchange("POST", "x", b"{}")
        await client.close()
        listening.close()
        return reply.body, server.connections

    assert asyncio.run(scenario()) == (b"hi", 2)


def _self_signed(folder) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_a_certificate_is_checked(tmp_path, monkeypatch) -> None:
    certificate, key = _self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def scenario(name: str = "localhost") -> Reply:
        listening = await asyncio.start_server(Server(OK), "127.0.0.1", 0, ssl=tls)
        port = listening.sockets[0].getsockname()[1]
        client = HttpClient(f"https://{name}:{port}/v1", None, 5)
        try:
            return await client.exchange("GET", "models", b"")
        finally:
            await client.close()
            listening.close()

    with pytest.raises(
        UntrustedError, match=r"^localhost:\d+: the server's certificate is not trusted; .* SSL_CERT_FILE"
    ):
        asyncio.run(scenario())
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert asyncio.run(scenario()).body == b"hi"
    with pytest.raises(UntrustedError, match="the server's certificate is for another name; correct the endpoint"):
        asyncio.run(scenario("127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    ["http://a b/v1", "http://host/v 1", "http://hôst/v1", "http://host/v1\x7f", "ftp://host/", "http://u:p@host/v1"],
)
def test_an_address_that_could_break_a_request_is_refused(url: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.model\.endpoint\.url"):
        HttpClient(url, None, 5)
